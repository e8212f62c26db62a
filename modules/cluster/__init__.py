"""Providers with more than one machine: several engines, Docker Swarm, Slurm, behind the interface of one."""
