"""Networks of many peers on one machine, as containers or processes: made, loaded, broken on purpose, and measured."""
