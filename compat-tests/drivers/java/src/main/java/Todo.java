import static com.rethinkdb.RethinkDB.r;

import com.rethinkdb.ast.ReqlAst;
import com.rethinkdb.gen.ast.Db;
import com.rethinkdb.gen.ast.Table;
import com.rethinkdb.gen.exc.ReqlAuthError;
import com.rethinkdb.gen.exc.ReqlNonExistenceError;
import com.rethinkdb.gen.exc.ReqlOpFailedError;
import com.rethinkdb.gen.exc.ReqlQueryLogicError;
import com.rethinkdb.gen.exc.ReqlResourceLimitError;
import com.rethinkdb.gen.exc.ReqlUserError;
import com.rethinkdb.model.OptArgs;
import com.rethinkdb.net.Connection;
import com.rethinkdb.net.Result;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.concurrent.CompletableFuture;

/**
 * A to-do list on PhotonDB with the RethinkDB driver for Java, every answer checked. The same story is told in
 * ../js/todo.js. Run it with PHOTONDB_PORT set to the driver port of a server.
 */
public final class Todo {
  private static final String DATABASE = "todo_java";
  private static final Db DB = r.db(DATABASE);
  private static final Table TASKS = DB.table("tasks");
  private static final Table PEOPLE = DB.table("people");
  private static final List<Map<String, Object>> LIST = Arrays.asList(
      task("bread", "Buy bread", "home", "ana", 2, 15, false, "shop"),
      task("lamp", "Mend the lamp", "home", "ben", 1, 40, true, "tools"),
      task("milk", "Buy milk", "home", "ana", 3, 10, false, "shop", "soon"),
      task("report", "Write the report", "office", "ben", 3, 120, false),
      task("taxes", "File the taxes", "office", "eva", 1, 90, false, "soon"));

  private static Connection conn;
  private static Connection other;

  private Todo() {}

  private static Map<String, Object> task(
      String id, String title, String list, String owner, int priority, int minutes, boolean done, String... tags) {
    return map("id", id, "title", title, "list", list, "owner", owner, "priority", priority, "minutes", minutes,
        "tags", Arrays.asList(tags), "done", done);
  }

  private static Map<String, Object> map(Object... namesAndValues) {
    Map<String, Object> made = new HashMap<>();
    for (int i = 0; i < namesAndValues.length; i += 2) {
      made.put((String) namesAndValues[i], namesAndValues[i + 1]);
    }
    return made;
  }

  private static List<Object> list(Object... values) {
    return Arrays.asList(values);
  }

  /** The only value of a query. */
  private static Object one(ReqlAst query) {
    return query.run(conn).single();
  }

  /** All rows of a query. */
  private static List<Object> rows(ReqlAst query) {
    return rows(query, new OptArgs());
  }

  /**
   * All rows of a query, read until next() says that there are no more: for a moment after the last row, hasNext() may
   * still promise another, because this driver hands out rows before it notes that they were the last.
   */
  private static List<Object> rows(ReqlAst query, OptArgs options) {
    List<Object> found = new ArrayList<>();
    try (Result<Object> cursor = query.run(conn, options)) {
      while (true) {
        found.add(cursor.next());
      }
    } catch (NoSuchElementException end) {
      return found;
    }
  }

  /** Runs a write. Counts that are not named must be zero. */
  private static void checkWrite(String what, ReqlAst query, String count, int many) {
    Map<String, Object> want = map(
        "deleted", 0, "errors", 0, "inserted", 0, "replaced", 0, "skipped", 0, "unchanged", 0);
    want.put(count, many);
    Check.check(what, one(query), want);
  }

  private static Connection connect() {
    return r.connection().hostname("127.0.0.1").port(port()).timeout(10_000L).connect();
  }

  private static int port() {
    return Integer.parseInt(System.getenv().getOrDefault("PHOTONDB_PORT", "28015"));
  }

  @SuppressWarnings("unchecked")
  private static Map<String, Object> object(Object value) {
    return (Map<String, Object>) value;
  }

  private static void createTables() {
    Check.check("the server tells its name", conn.server().getName().isEmpty(), false);
    Check.check("a database is created", object(one(r.dbCreate(DATABASE))).get("dbs_created"), 1);
    Check.check("a table is created", object(one(DB.tableCreate("tasks"))).get("tables_created"), 1);
    DB.tableCreate("people").optArg("primary_key", "name").run(conn);
    Check.check("both tables are listed", one(DB.tableList().coerceTo("array")), list("people", "tasks"));
    TASKS.indexCreate("list").run(conn);
    Check.check("an index is ready", one(TASKS.indexWait("list").nth(0).g("ready")), true);
  }

  private static void write() {
    checkWrite("one document is inserted", TASKS.insert(LIST.get(0)), "inserted", 1);
    checkWrite("a batch is inserted", TASKS.insert(LIST.subList(1, 5)), "inserted", 4);
    checkWrite("a table may have a primary key of its own name",
        PEOPLE.insert(list(map("name", "ana", "city", "Oslo"), map("name", "ben", "city", "Turin"))), "inserted", 2);
    Map<String, Object> note = object(one(TASKS.insert(map("title", "no id")).optArg("return_changes", true)));
    String key = (String) ((List<?>) note.get("generated_keys")).get(0);
    Check.check("a missing key is generated", list(key.length(), note.get("changes")),
        list(36, list(map("new_val", map("id", key, "title", "no id"), "old_val", null))));
    Map<String, Object> twice = object(one(TASKS.insert(LIST.get(0))));
    Check.check("a key that is taken is an error",
        list(twice.get("errors"), ((String) twice.get("first_error")).split("\n")[0]),
        list(1, "Duplicate primary key `id`:"));
    checkWrite("or replaces", TASKS.insert(map("id", key, "more", 1)).optArg("conflict", "replace"), "replaced", 1);
    checkWrite("one document is updated", TASKS.get(key).update(row -> r.hashMap("more", row.g("more").add(1))), "replaced", 1);
    Check.check("and so it did", one(TASKS.get(key)), map("id", key, "more", 2));
    checkWrite("one document is replaced", TASKS.get(key).replace(row -> row.without("more")), "replaced", 1);
    checkWrite("one document is deleted", TASKS.get(key).delete(), "deleted", 1);
    Check.check("and is gone", one(TASKS.get(key)), null);
  }

  private static void read() {
    Check.check("get", one(TASKS.get("milk")), LIST.get(2));
    Check.check("getAll", one(TASKS.getAll("milk", "lamp", "none").orderBy("id").g("id")), list("lamp", "milk"));
    Check.check("getAll by an index",
        one(TASKS.getAll("office").optArg("index", "list").orderBy("id").g("id")), list("report", "taxes"));
    Check.check("between", one(TASKS.between("c", "report").optArg("right_bound", "closed").orderBy("id").g("id")),
        list("lamp", "milk", "report"));
    Check.check("filter by fields", one(TASKS.filter(map("list", "home", "done", false)).count()), 2);
    Check.check("filter by a function",
        rows(TASKS.filter(row -> row.g("minutes").gt(30).and(row.g("tags").contains("soon"))).g("id")), list("taxes"));
    Check.check("map", one(TASKS.orderBy("id").map(row -> row.g("minutes").mul(2))), list(30, 80, 20, 240, 180));
    Check.check("orderBy, first down, then up", one(TASKS.orderBy(r.desc("priority"), "title").g("id")),
        list("milk", "report", "bread", "taxes", "lamp"));
    Check.check("skip and limit", one(TASKS.orderBy("id").skip(1).limit(2).g("id")), list("lamp", "milk"));
    Check.check("pluck", one(TASKS.get("milk").pluck("id", "priority")), map("id", "milk", "priority", 3));
    Check.check("group and sum", one(TASKS.group("owner").sum("minutes").ungroup().orderBy(r.desc("reduction"))),
        list(map("group", "ben", "reduction", 160), map("group", "eva", "reduction", 90), map("group", "ana", "reduction", 25)));
    Check.check("map and reduce", one(TASKS.map(row -> row.g("minutes")).reduce((a, b) -> a.add(b))), 275);
    Check.check("eqJoin",
        one(TASKS.eqJoin("owner", PEOPLE).zip().orderBy("id").map(row -> row.g("id").add(" in ", row.g("city")))),
        list("bread in Oslo", "lamp in Turin", "milk in Oslo", "report in Turin"));
  }

  private static void values() {
    OffsetDateTime due = OffsetDateTime.parse("2026-05-04T12:30:00.250Z");
    byte[] scan = {0, 1, 2, -2, -1};
    checkWrite("a time and binary are written",
        TASKS.get("taxes").update(map("due", due, "scan", r.binary(scan))), "replaced", 1);
    Map<String, Object> taxes = object(one(TASKS.get("taxes")));
    Check.check("a time comes back as it was", taxes.get("due"), due);
    Check.check("binary comes back as it was", taxes.get("scan"), scan);
    Check.check("times print as ISO 8601", one(TASKS.get("taxes").g("due").inTimezone("+02:00").toIso8601()),
        "2026-05-04T14:30:00.250+02:00");
    Map<String, Object> deep = map("a", list(1, map("b", list(null, true, "ü\u0000☃"))), "n", 1e300);
    Check.check("deep values survive", one(r.expr(deep)), deep);
  }

  private static void cursors() {
    Table numbers = DB.table("numbers");
    DB.tableCreate("numbers").run(conn);
    checkWrite("a thousand documents are written by one query",
        numbers.insert(r.range(1000).map(n -> r.hashMap("id", n).with("square", n.mul(n))).coerceTo("array")), "inserted", 1000);
    List<Object> batches = rows(numbers, new OptArgs().with("max_batch_rows", 64));
    long sum = batches.stream().mapToLong(row -> ((Number) object(row).get("square")).longValue()).sum();
    Check.check("and read in several batches", list(batches.size(), sum), list(1000, 332833500));
    Result<Object> endless = r.range().run(conn);
    Check.check("a cursor may be left before its end", list(endless.next(), endless.next(), endless.next()), list(0, 1, 2));
    endless.close();
    List<CompletableFuture<Object>> questions = new ArrayList<>();
    List<Object> wanted = new ArrayList<>();
    for (int n = 0; n < 100; n += 1) {
      questions.add(r.expr(n).mul(2).runAtomAsync(conn));
      wanted.add(n * 2);
    }
    List<Object> answers = new ArrayList<>();
    questions.forEach(question -> answers.add(question.join()));
    Check.check("a hundred queries at once on one connection", answers, wanted);
  }

  private static void feeds() {
    Result<Object> feed = TASKS.changes().run(conn);
    Result<Object> alone = TASKS.get("milk").changes().optArg("include_initial", true).run(conn);
    Check.check("a feed of one document begins with it", alone.next(), map("new_val", LIST.get(2)));
    Map<String, Object> plant = map("id", "plant", "title", "Water the plant");
    Map<String, Object> done = new HashMap<>(LIST.get(2));
    done.put("done", true);
    TASKS.insert(plant).run(other);
    TASKS.get("milk").update(map("done", true)).run(other);
    TASKS.get("plant").delete().run(other);
    Check.check("a feed tells of an insert", feed.next(), map("new_val", plant, "old_val", null));
    Check.check("of an update", feed.next(), map("new_val", done, "old_val", LIST.get(2)));
    Check.check("of a delete", feed.next(), map("new_val", null, "old_val", plant));
    Check.check("the feed of one document tells of it alone", alone.next(), map("new_val", done, "old_val", LIST.get(2)));
    feed.close();
    alone.close();
    Check.check("queries run after they are closed", one(TASKS.filter(map("done", true)).count()), 2);
  }

  private static void errors() {
    Check.fails("a missing field", ReqlNonExistenceError.class, "No attribute `colour` in object",
        () -> one(TASKS.get("milk").g("colour")));
    Check.check("has a default", one(TASKS.get("milk").g("colour").default_("white")), "white");
    Check.fails("a missing table", ReqlOpFailedError.class, "Table `todo_java.nothing` does not exist.",
        () -> rows(DB.table("nothing")));
    Check.fails("types that do not fit", ReqlQueryLogicError.class, "Expected type NUMBER but found STRING.",
        () -> one(r.expr(1).add("one")));
    Check.fails("an error of our own", ReqlUserError.class, "no more tasks", () -> one(r.error("no more tasks")));
    Check.fails("an array over the limit", ReqlResourceLimitError.class, "Array over size limit `3`.",
        () -> TASKS.coerceTo("array").run(conn, new OptArgs().with("array_limit", 3)));
    Check.fails("a wrong password", ReqlAuthError.class, "Wrong password",
        () -> r.connection().hostname("127.0.0.1").port(port()).user("admin", "wrong").timeout(10_000L).connect());
    Check.check("the connection is none the worse", one(TASKS.count()), 5);
  }

  private static void dropTables() {
    Check.check("a table is dropped", object(one(DB.tableDrop("tasks"))).get("tables_dropped"), 1);
    Map<String, Object> dropped = object(one(r.dbDrop(DATABASE)));
    Check.check("and a database with the rest", list(dropped.get("dbs_dropped"), dropped.get("tables_dropped")), list(1, 2));
  }

  /** Tells the story. */
  public static void main(String[] arguments) {
    Check.step("connect", () -> {
      conn = connect();
      other = connect();
    });
    Check.step("createTables", Todo::createTables);
    Check.step("write", Todo::write);
    Check.step("read", Todo::read);
    Check.step("values", Todo::values);
    Check.step("cursors", Todo::cursors);
    Check.step("feeds", Todo::feeds);
    Check.step("errors", Todo::errors);
    Check.step("dropTables", Todo::dropTables);
    Check.step("close", () -> {
      conn.close();
      other.close();
    });
    Check.finish();
  }
}
