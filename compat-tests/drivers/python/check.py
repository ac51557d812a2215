"""Numbered checks: `check` compares an answer with what it must be, `fails` expects an error of a class, `step` runs
one part of a story within a time, `tell` all of it."""

import os
import signal
import sys
import traceback

PATIENCE_SECONDS = 60

passed = 0
failed = 0


def report(good, what, detail):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print("%3d. %s %s" % (passed + failed, "ok    " if good else "FAILED", what))
    if not good:
        print("     " + detail)


def check(what, got, want):
    report(got == want and type(got) is type(want), what, "got %r, not %r" % (got, want))


def fails(what, error_class, message, ask):
    try:
        report(False, what, "got %r, not an error" % (ask(),))
    except error_class as error:
        good = type(error) is error_class and message in error.message
        report(good, what, "got %s: %s" % (type(error).__name__, error.message))
    except Exception as error:
        report(False, what, "got %s: %s" % (type(error).__name__, error))


def step(name, work):
    """A part that does not end in time fails loudly: it ends the program and names itself."""
    def late(_signal, _frame):
        report(False, name + " ends", "no end after %d s" % PATIENCE_SECONDS)
        summary()
        sys.stdout.flush()
        os._exit(1)

    signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE_SECONDS)
    try:
        return work()
    except Exception:
        report(False, name + " ends", traceback.format_exc())
        raise
    finally:
        signal.alarm(0)


def tell(story):
    """Tells a story to its end, whatever happens on the way, and ends the program by what it came to."""
    try:
        story()
    except Exception:
        pass  # the step has reported it
    sys.exit(0 if summary() else 1)


def summary():
    print("%d passed, %d failed" % (passed, failed))
    return failed == 0
