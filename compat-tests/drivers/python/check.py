"""Numbered checks: `check` compares an answer with what it must be, `fails` expects an error of a class."""

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


def summary():
    print("%d passed, %d failed" % (passed, failed))
    return failed == 0
