"""What runs inside a plugin's walls: sets limits on itself, loads the plugin, and answers one JSON line with another.

Started by file path, so that nothing else of the node is here. For a command it only sets the limits and becomes it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from typing import Any, TextIO

MEMORY = 1024 * 1024 * 1024
"""Bytes of address space."""
CPU = 600
"""Seconds of processor time in the life of one worker; the node starts another."""
FILES = 64
PROCESSES = 16


def limit() -> None:
    """Bound this process and those that it starts."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_NPROC, PROCESSES),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def serve(strategy: Any, questions: TextIO, answers: TextIO) -> None:
    """Answer until the pipe closes. What the strategy raises ends the process, and with it the talk."""
    from agents.consultation import answer_document, lesson_from, view_from
    from agents.strategy import learn

    at_once = hasattr(strategy, "counter_all")
    say(answers, {"ready": True, "counter_all": at_once})
    for line in questions:
        question = json.loads(line)
        if "lesson" in question:
            learn(strategy, lesson_from(question))
            continue
        views = [view_from(document) for document in question["views"]]
        made = strategy.counter_all(views) if at_once else [strategy.decide(view) for view in views]
        say(answers, {"answers": [answer_document(answer) for answer in made]})


def say(answers: TextIO, document: dict[str, Any]) -> None:
    """One line."""
    answers.write(json.dumps(document) + "\n")
    answers.flush()


def main(kind: str, *words: str) -> None:
    """Become a command, or load a class and serve it."""
    if kind == "exec":
        limit()
        os.execv(words[0], words)
    module, attribute, *places = words
    sys.path[:0] = places
    # what the plugin prints must not be taken for an answer
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    limit()
    try:
        strategy = getattr(importlib.import_module(module), attribute)()
    except BaseException as error:
        say(answers, {"ready": False, "reason": f"{type(error).__name__}: {error}"[:500]})
        sys.exit(1)
    if callable(getattr(strategy, "decide", None)) or callable(getattr(strategy, "counter_all", None)):
        serve(strategy, sys.stdin, answers)
    say(answers, {"ready": False, "reason": f"{attribute} has neither decide(view) nor counter_all(views)"})


if __name__ == "__main__":
    main(*sys.argv[1:])
