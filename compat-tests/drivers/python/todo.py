"""A to-do list on PhotonDB with the official RethinkDB driver for Python, every answer checked.

The same story is told in ../js/todo.js. Run it with PHOTONDB_PORT set to the driver port of a server.
"""

import asyncio
import datetime
import os

from rethinkdb import RethinkDB
from rethinkdb import errors as e

from check import check, fails, step, tell

r = RethinkDB()
SERVER = {"host": "127.0.0.1", "port": int(os.environ.get("PHOTONDB_PORT", "28015"))}

db = r.db("todo_python")
tasks = db.table("tasks")
people = db.table("people")
LIST = [
    {"id": "bread", "title": "Buy bread", "list": "home", "owner": "ana", "priority": 2, "minutes": 15, "tags": ["shop"], "done": False},
    {"id": "lamp", "title": "Mend the lamp", "list": "home", "owner": "ben", "priority": 1, "minutes": 40, "tags": ["tools"], "done": True},
    {"id": "milk", "title": "Buy milk", "list": "home", "owner": "ana", "priority": 3, "minutes": 10, "tags": ["shop", "soon"], "done": False},
    {"id": "report", "title": "Write the report", "list": "office", "owner": "ben", "priority": 3, "minutes": 120, "tags": [], "done": False},
    {"id": "taxes", "title": "File the taxes", "list": "office", "owner": "eva", "priority": 1, "minutes": 90, "tags": ["soon"], "done": False},
]


def written(**counts):
    return {"deleted": 0, "errors": 0, "inserted": 0, "replaced": 0, "skipped": 0, "unchanged": 0, **counts}


def create_tables(conn):
    about = conn.server()
    check("the server tells its id and name", [type(about["id"]), about["name"] != "", about["proxy"]], [str, True, False])
    if "todo_python" in r.db_list().run(conn):
        r.db_drop("todo_python").run(conn)
    created = r.db_create("todo_python").run(conn)
    check("a database is created", [created["dbs_created"], created["config_changes"][0]["new_val"]["name"]], [1, "todo_python"])
    table = db.table_create("tasks").run(conn)
    check("a table is created", [table["tables_created"], table["config_changes"][0]["new_val"]["primary_key"]], [1, "id"])
    db.table_create("people", primary_key="name").run(conn)
    check("both tables are listed", db.table_list().run(conn), ["people", "tasks"])


def write(conn):
    check("one document is inserted", tasks.insert(LIST[0]).run(conn), written(inserted=1))
    check("a batch is inserted", tasks.insert(LIST[1:]).run(conn), written(inserted=4))
    both = [{"name": "ana", "city": "Oslo"}, {"name": "ben", "city": "Turin"}]
    check("a table may have a primary key of its own name", people.insert(both).run(conn), written(inserted=2))
    note = tasks.insert({"title": "no id"}, return_changes=True).run(conn)
    key = note["generated_keys"][0]
    check("a missing key is generated", [note["inserted"], len(key), note["changes"]],
          [1, 36, [{"new_val": {"id": key, "title": "no id"}, "old_val": None}]])

    twice = tasks.insert(LIST[0]).run(conn)
    check("a key that is taken is an error", [twice["errors"], twice["first_error"].split("\n")[0]], [1, "Duplicate primary key `id`:"])
    check("or replaces", tasks.insert({"id": key, "title": "new"}, conflict="replace").run(conn), written(replaced=1))
    check("or updates", tasks.insert({"id": key, "more": 1}, conflict="update").run(conn), written(replaced=1))
    check("and so it did", tasks.get(key).run(conn), {"id": key, "title": "new", "more": 1})

    check("one document is updated", tasks.get(key).update({"more": r.row["more"] + 1}).run(conn), written(replaced=1))
    check("an update that changes nothing says so", tasks.get(key).update({"more": 2}).run(conn), written(unchanged=1))
    check("an update may tell what it changed", tasks.get(key).update({"more": 3}, return_changes=True).run(conn)["changes"],
          [{"old_val": {"id": key, "title": "new", "more": 2}, "new_val": {"id": key, "title": "new", "more": 3}}])
    check("one document is replaced", tasks.get(key).replace(lambda task: task.without("more")).run(conn), written(replaced=1))
    check("and has lost its field", tasks.get(key).run(conn), {"id": key, "title": "new"})
    check("one document is deleted", tasks.get(key).delete().run(conn), written(deleted=1))
    check("and is gone", tasks.get(key).run(conn), None)
    check("many are updated at once", tasks.update({"seen": True}).run(conn), written(replaced=5))
    check("and put back", tasks.replace(r.row.without("seen")).run(conn), written(replaced=5))


def read(conn):
    check("get", tasks.get("milk").run(conn), LIST[2])
    check("get_all", sorted(task["id"] for task in tasks.get_all("milk", "lamp", "none").run(conn)), ["lamp", "milk"])
    check("between leaves out its end", tasks.between("c", "report").order_by("id")["id"].run(conn), ["lamp", "milk"])
    check("between may take it in", tasks.between("c", "report", right_bound="closed").count().run(conn), 3)
    check("count", tasks.count().run(conn), 5)
    check("filter by fields", tasks.filter({"list": "home", "done": False}).count().run(conn), 2)
    urgent = tasks.filter(lambda task: (task["minutes"] > 30) & task["tags"].contains("soon"))
    check("filter by a function", list(urgent["id"].run(conn)), ["taxes"])
    check("filter passes over what is missing", tasks.filter(r.row["boss"]["name"] == "eva").count().run(conn), 0)
    check("map", sorted(tasks.map(lambda task: task["minutes"] * 2).run(conn)), [20, 30, 80, 180, 240])
    check("order_by, first down, then up",
          tasks.order_by(r.desc("priority"), "title")["id"].run(conn), ["milk", "report", "bread", "taxes", "lamp"])
    check("skip and limit", tasks.order_by("id").skip(1).limit(2)["id"].run(conn), ["lamp", "milk"])
    check("pluck", tasks.get("milk").pluck("id", "priority").run(conn), {"id": "milk", "priority": 3})
    hours = tasks.get("lamp").merge(lambda task: {"hours": (task["minutes"] / 60).round()})
    check("merge", hours.pluck("id", "hours").run(conn), {"id": "lamp", "hours": 1})
    check("group", tasks.group("list").count().run(conn), {"home": 3, "office": 2})
    check("group and sum", tasks.group("owner").sum("minutes").ungroup().order_by(r.desc("reduction")).run(conn),
          [{"group": "ben", "reduction": 160}, {"group": "eva", "reduction": 90}, {"group": "ana", "reduction": 25}])
    check("min, max and avg", r.expr([tasks.min("minutes")["id"], tasks.max("minutes")["id"], tasks.avg("minutes")]).run(conn),
          ["milk", "report", 55])
    check("distinct tags", tasks.concat_map(r.row["tags"]).distinct().run(conn), ["shop", "soon", "tools"])
    check("map and reduce", tasks.map(r.row["minutes"]).reduce(lambda a, b: a + b).run(conn), 275)
    same = lambda task, person: task["owner"] == person["name"]
    joined = tasks.inner_join(people, same).zip().order_by("id")
    check("inner_join", joined.map(lambda row: row["id"] + " in " + row["city"]).run(conn),
          ["bread in Oslo", "lamp in Turin", "milk in Oslo", "report in Turin"])
    homeless = tasks.outer_join(people, same).filter(lambda row: ~row.has_fields("right"))
    check("outer_join keeps who has no partner", list(homeless.map(r.row["left"]["id"]).run(conn)), ["taxes"])


def values(conn):
    due = datetime.datetime(2026, 5, 4, 12, 30, 0, 250000, tzinfo=datetime.timezone.utc)
    data = bytes([0, 1, 2, 254, 255])
    tasks.get("taxes").update({"due": due, "scan": data}).run(conn)
    taxes = tasks.get("taxes").run(conn)
    check("a time comes back as it was", taxes["due"], due)
    check("binary comes back as it was", bytes(taxes["scan"]), data)
    parts = lambda time: [time.year(), time.month(), time.day_of_week()]
    check("times have parts", tasks.get("taxes")["due"].do(parts).run(conn), [2026, 5, 1])
    later = tasks.filter(r.row["due"] + 3600 > r.iso8601("2026-05-04T13:00:00Z"))
    check("times can be moved and compared", list(later["id"].run(conn)), ["taxes"])
    check("times print as ISO 8601", tasks.get("taxes")["due"].in_timezone("+02:00").to_iso8601().run(conn), "2026-05-04T14:30:00.250+02:00")
    check("binary has a length", tasks.get("taxes")["scan"].count().run(conn), 5)
    deep = {"a": [1, {"b": [None, True, "ü\u0000☃"]}], "n": 1e300}
    check("deep values survive", r.expr(deep).run(conn), deep)


def cursors(conn):
    numbers = db.table("numbers")
    db.table_create("numbers").run(conn)
    thousand = r.range(1000).map(lambda n: {"id": n, "square": n * n}).coerce_to("array")
    check("a thousand documents are written by one query", numbers.insert(thousand).run(conn), written(inserted=1000))
    rows = list(numbers.run(conn, max_batch_rows=64))
    check("and read in several batches", [len(rows), sum(row["square"] for row in rows)], [1000, 332833500])
    endless = r.range().run(conn)
    check("a cursor may be left before its end", [endless.next(), endless.next(), endless.next()], [0, 1, 2])
    endless.close()
    for n in range(1000, 1100):
        numbers.insert({"id": n}, durability="soft").run(conn, noreply=True)
    conn.noreply_wait()
    check("writes without an answer are done after noreply_wait", numbers.count().run(conn), 1100)
    check("and deleted", numbers.filter(r.row["id"] >= 1000).delete().run(conn), written(deleted=100))


async def parallel():
    ra = RethinkDB()
    ra.set_loop_type("asyncio")
    conn = await ra.connect(**SERVER)
    answers = await asyncio.gather(*[ra.expr(n).mul(2).run(conn) for n in range(100)])
    check("a hundred queries at once on one connection", answers, [n * 2 for n in range(100)])
    slow = asyncio.ensure_future(ra.range(1000000).map(lambda n: n + 1).count().run(conn))
    await asyncio.sleep(0)
    quick = await ra.expr(1).run(conn)
    check("a quick query does not wait for a slow one", [quick, slow.done()], [1, False])
    check("which ends as well", await slow, 1000000)
    await conn.close()


def feeds(conn, other):
    feed = tasks.changes().run(conn)
    one = tasks.get("milk").changes(include_initial=True).run(conn)
    check("a feed of one document begins with it", one.next(wait=5), {"new_val": LIST[2]})
    plant = {"id": "plant", "title": "Water the plant"}
    tasks.insert(plant).run(other)
    tasks.get("milk").update({"done": True}).run(other)
    tasks.get("plant").delete().run(other)
    done = dict(LIST[2], done=True)
    check("a feed tells of an insert", feed.next(wait=5), {"new_val": plant, "old_val": None})
    check("of an update", feed.next(wait=5), {"new_val": done, "old_val": LIST[2]})
    check("of a delete", feed.next(wait=5), {"new_val": None, "old_val": plant})
    check("the feed of one document tells of it alone", one.next(wait=5), {"new_val": done, "old_val": LIST[2]})
    check("queries run beside open feeds", tasks.filter({"done": True}).count().run(conn), 2)
    feed.close()
    one.close()
    tasks.get("milk").update({"done": False}).run(other)
    check("and after they are closed", tasks.filter({"done": True}).count().run(conn), 1)


def errors(conn):
    fails("a missing field", e.ReqlNonExistenceError, "No attribute `colour` in object", lambda: tasks.get("milk")["colour"].run(conn))
    check("has a default", tasks.get("milk")["colour"].default("white").run(conn), "white")
    fails("a missing table", e.ReqlOpFailedError, "Table `todo_python.nothing` does not exist.", lambda: db.table("nothing").run(conn))
    fails("a table that is there already", e.ReqlOpFailedError, "Table `todo_python.tasks` already exists.", lambda: db.table_create("tasks").run(conn))
    fails("types that do not fit", e.ReqlQueryLogicError, "Expected type NUMBER but found STRING.", lambda: r.expr(1).add("one").run(conn))
    fails("an error of our own", e.ReqlUserError, "no more tasks", lambda: r.branch(tasks.count() > 3, r.error("no more tasks"), 1).run(conn))
    fails("an array over the limit", e.ReqlResourceLimitError, "Array over size limit `3`.", lambda: tasks.coerce_to("array").run(conn, array_limit=3))
    fails("an unknown option", e.ReqlServerCompileError, "Unrecognized optional argument `colour`.", lambda: tasks.insert({}, colour="red").run(conn))
    fails("too few arguments", e.ReqlServerCompileError, "Expected 2 arguments but found 1.", lambda: tasks.get().run(conn))
    fails("a wrong password", e.ReqlAuthError, "Wrong password", lambda: r.connect(password="wrong", **SERVER))
    fails("an unknown user looks the same", e.ReqlAuthError, "Wrong password", lambda: r.connect(user="nobody", **SERVER))
    check("the connection is none the worse", tasks.count().run(conn), 5)


def drop_tables(conn):
    check("a table is dropped", db.table_drop("tasks").run(conn)["tables_dropped"], 1)
    dropped = r.db_drop("todo_python").run(conn)
    check("and a database with the rest", [dropped["dbs_dropped"], dropped["tables_dropped"]], [1, 2])


def main():
    conn, other = step("connect", lambda: (r.connect(**SERVER), r.connect(**SERVER)))
    for part in [create_tables, write, read, values, cursors]:
        step(part.__name__, lambda: part(conn))
    step("parallel", lambda: asyncio.run(parallel()))
    step("feeds", lambda: feeds(conn, other))
    for part in [errors, drop_tables]:
        step(part.__name__, lambda: part(conn))
    step("close", lambda: (conn.close(), other.close()))


tell(main)
