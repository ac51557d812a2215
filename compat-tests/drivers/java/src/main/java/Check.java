import com.rethinkdb.gen.exc.ReqlError;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Timer;
import java.util.TimerTask;

/**
 * Numbered checks: check compares an answer with what it must be, fails expects an error of a class, step runs one
 * part of the story within a time.
 */
final class Check {
  private static final int PATIENCE_SECONDS = 60;
  private static int passed = 0;
  private static int failed = 0;

  interface Part {
    void run() throws Exception;
  }

  private Check() {}

  private static synchronized void report(boolean good, String what, String detail) {
    if (good) {
      passed += 1;
    } else {
      failed += 1;
    }
    System.out.printf("%3d. %s %s%n", passed + failed, good ? "ok    " : "FAILED", what);
    if (!good) {
      System.out.println("     " + detail);
    }
  }

  static void check(String what, Object got, Object want) {
    Object plainGot = plain(got);
    Object plainWant = plain(want);
    report(Objects.equals(plainGot, plainWant), what, "got " + plainGot + ", not " + plainWant);
  }

  /** The value with all whole numbers longs, bytes a list of them, and every container one that compares by value. */
  private static Object plain(Object value) {
    if (value instanceof Integer) {
      return ((Integer) value).longValue();
    }
    if (value instanceof byte[]) {
      return Arrays.toString((byte[]) value);
    }
    if (value instanceof List) {
      List<Object> made = new ArrayList<>();
      ((List<?>) value).forEach(item -> made.add(plain(item)));
      return made;
    }
    if (value instanceof Map) {
      Map<Object, Object> made = new LinkedHashMap<>();
      ((Map<?, ?>) value).forEach((key, item) -> made.put(key, plain(item)));
      return made;
    }
    return value;
  }

  /** The error must be of the very class, and its text must contain the message. */
  static void fails(String what, Class<? extends ReqlError> errorClass, String message, Part part) {
    try {
      part.run();
      report(false, what, "no error");
    } catch (Exception error) {
      boolean good = error.getClass() == errorClass && String.valueOf(error.getMessage()).contains(message);
      report(good, what, "got " + error);
    }
  }

  /** A part that does not end in time fails loudly: it ends the program and names itself. */
  static void step(String name, Part part) {
    Timer late = new Timer(true);
    late.schedule(new TimerTask() {
      @Override
      public void run() {
        report(false, name + " ends", "no end after " + PATIENCE_SECONDS + " s");
        finish();
      }
    }, PATIENCE_SECONDS * 1000L);
    try {
      part.run();
    } catch (Exception error) {
      report(false, name + " ends", error.toString());
      finish();
    }
    late.cancel();
  }

  static void finish() {
    System.out.println(passed + " passed, " + failed + " failed");
    System.out.flush();
    Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
  }
}
