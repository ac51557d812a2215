// A to-do list on PhotonDB with the RethinkDB driver for Go, every answer checked. The same story is told in
// ../js/todo.js. Run it with PHOTONDB_PORT set to the driver port of a server.
package main

import (
	"os"
	"sync"
	"time"

	r "gopkg.in/rethinkdb/rethinkdb-go.v6"
)

const database = "todo_go"

var (
	session *r.Session
	db      = r.DB(database)
	tasks   = db.Table("tasks")
	people  = db.Table("people")
)

var list = []object{
	{"id": "bread", "title": "Buy bread", "list": "home", "owner": "ana", "priority": 2, "minutes": 15, "tags": array{"shop"}, "done": false},
	{"id": "lamp", "title": "Mend the lamp", "list": "home", "owner": "ben", "priority": 1, "minutes": 40, "tags": array{"tools"}, "done": true},
	{"id": "milk", "title": "Buy milk", "list": "home", "owner": "ana", "priority": 3, "minutes": 10, "tags": array{"shop", "soon"}, "done": false},
	{"id": "report", "title": "Write the report", "list": "office", "owner": "ben", "priority": 3, "minutes": 120, "tags": array{}, "done": false},
	{"id": "taxes", "title": "File the taxes", "list": "office", "owner": "eva", "priority": 1, "minutes": 90, "tags": array{"soon"}, "done": false},
}

func options() r.ConnectOpts {
	port := os.Getenv("PHOTONDB_PORT")
	if port == "" {
		port = "28015"
	}
	return r.ConnectOpts{Address: "127.0.0.1:" + port, InitialCap: 2, MaxOpen: 4, Timeout: 10 * time.Second}
}

// All rows of a query.
func rows(query r.Term, opts ...r.RunOpts) array {
	found := array{}
	must(query.ReadAll(&found, session, opts...))
	return found
}

// The only value of a query.
func one(query r.Term) interface{} {
	var value interface{}
	must(query.ReadOne(&value, session))
	return value
}

// Runs a write. Counts that are not named must be zero.
func checkWrite(what string, query r.Term, counts object) {
	want := object{"deleted": 0, "errors": 0, "inserted": 0, "replaced": 0, "skipped": 0, "unchanged": 0}
	for name, count := range counts {
		want[name] = count
	}
	check(what, one(query), want)
}

func createTables() {
	about, err := session.Server()
	must(err)
	check("the server tells its id and name", array{len(about.ID), about.Name != ""}, array{36, true})
	created, err := r.DBCreate(database).RunWrite(session)
	must(err)
	check("a database is created", array{created.DBsCreated, created.ConfigChanges[0].NewValue.(object)["name"]}, array{1, database})
	table, err := db.TableCreate("tasks").RunWrite(session)
	must(err)
	check("a table is created", array{table.TablesCreated, table.ConfigChanges[0].NewValue.(object)["primary_key"]}, array{1, "id"})
	must(db.TableCreate("people", r.TableCreateOpts{PrimaryKey: "name"}).Exec(session))
	check("both tables are listed", rows(db.TableList()), array{"people", "tasks"})
	must(tasks.IndexCreate("list").Exec(session))
	check("an index is ready", one(tasks.IndexWait("list").Nth(0).Field("ready")), true)
}

func write() {
	checkWrite("one document is inserted", tasks.Insert(list[0]), object{"inserted": 1})
	checkWrite("a batch is inserted", tasks.Insert(list[1:]), object{"inserted": 4})
	both := []object{{"name": "ana", "city": "Oslo"}, {"name": "ben", "city": "Turin"}}
	checkWrite("a table may have a primary key of its own name", people.Insert(both), object{"inserted": 2})
	note, err := tasks.Insert(object{"title": "no id"}, r.InsertOpts{ReturnChanges: true}).RunWrite(session)
	must(err)
	key := note.GeneratedKeys[0]
	check("a missing key is generated", array{len(key), note.Changes[0].NewValue, note.Changes[0].OldValue},
		array{36, object{"id": key, "title": "no id"}, nil})
	_, err = tasks.Insert(list[0]).RunWrite(session)
	check("a key that is taken is an error", r.IsConflictErr(err), true)
	checkWrite("or replaces", tasks.Insert(object{"id": key, "more": 1}, r.InsertOpts{Conflict: "replace"}), object{"replaced": 1})
	checkWrite("one document is updated", tasks.Get(key).Update(object{"more": r.Row.Field("more").Add(1)}), object{"replaced": 1})
	check("and so it did", one(tasks.Get(key)), object{"id": key, "more": 2})
	checkWrite("one document is replaced",
		tasks.Get(key).Replace(func(task r.Term) r.Term { return task.Without("more") }), object{"replaced": 1})
	checkWrite("one document is deleted", tasks.Get(key).Delete(), object{"deleted": 1})
	cursor, err := tasks.Get(key).Run(session)
	must(err)
	check("and is gone", cursor.IsNil(), true)
}

func read() {
	check("get", one(tasks.Get("milk")), list[2])
	check("getAll", rows(tasks.GetAll("milk", "lamp", "none").OrderBy("id").Field("id")), array{"lamp", "milk"})
	check("getAll by an index", rows(tasks.GetAllByIndex("list", "office").OrderBy("id").Field("id")), array{"report", "taxes"})
	between := tasks.Between("c", "report", r.BetweenOpts{RightBound: "closed"})
	check("between", rows(between.OrderBy("id").Field("id")), array{"lamp", "milk", "report"})
	check("filter by fields", one(tasks.Filter(object{"list": "home", "done": false}).Count()), 2)
	urgent := tasks.Filter(func(task r.Term) r.Term {
		return task.Field("minutes").Gt(30).And(task.Field("tags").Contains("soon"))
	})
	check("filter by a function", rows(urgent.Field("id")), array{"taxes"})
	doubled := tasks.OrderBy("id").Map(func(task r.Term) r.Term { return task.Field("minutes").Mul(2) })
	check("map", rows(doubled), array{30, 80, 20, 240, 180})
	check("orderBy, first down, then up", rows(tasks.OrderBy(r.Desc("priority"), "title").Field("id")),
		array{"milk", "report", "bread", "taxes", "lamp"})
	check("skip and limit", rows(tasks.OrderBy("id").Skip(1).Limit(2).Field("id")), array{"lamp", "milk"})
	check("pluck", one(tasks.Get("milk").Pluck("id", "priority")), object{"id": "milk", "priority": 3})
	check("group", rows(tasks.Group("list").Count()),
		array{object{"group": "home", "reduction": 3}, object{"group": "office", "reduction": 2}})
	check("group and sum", rows(tasks.Group("owner").Sum("minutes").Ungroup().OrderBy(r.Desc("reduction")).Field("group")),
		array{"ben", "eva", "ana"})
	total := tasks.Map(func(task r.Term) r.Term { return task.Field("minutes") }).Reduce(func(a, b r.Term) r.Term { return a.Add(b) })
	check("map and reduce", one(total), 275)
	joined := tasks.EqJoin("owner", people).Zip().OrderBy("id").Map(func(row r.Term) r.Term {
		return row.Field("id").Add(" in ", row.Field("city"))
	})
	check("eqJoin", rows(joined), array{"bread in Oslo", "lamp in Turin", "milk in Oslo", "report in Turin"})
}

func values() {
	due := time.Date(2026, 5, 4, 12, 30, 0, 250e6, time.UTC)
	scan := []byte{0, 1, 2, 254, 255}
	checkWrite("a time and binary are written", tasks.Get("taxes").Update(object{"due": due, "scan": scan}), object{"replaced": 1})
	taxes := one(tasks.Get("taxes")).(object)
	check("a time comes back as it was", taxes["due"], due)
	check("binary comes back as it was", taxes["scan"], scan)
	check("times print as ISO 8601", one(tasks.Get("taxes").Field("due").InTimezone("+02:00").ToISO8601()), "2026-05-04T14:30:00.250+02:00")
	deep := object{"a": array{1, object{"b": array{nil, true, "ü\u0000☃"}}}, "n": 1e300}
	check("deep values survive", one(r.Expr(deep)), deep)
}

func cursors() {
	numbers := db.Table("numbers")
	must(db.TableCreate("numbers").Exec(session))
	thousand := r.Range(1000).Map(func(n r.Term) r.Term { return r.Expr(object{"id": n, "square": n.Mul(n)}) }).CoerceTo("array")
	checkWrite("a thousand documents are written by one query", numbers.Insert(thousand), object{"inserted": 1000})
	cursor, err := numbers.Run(session, r.RunOpts{MaxBatchRows: 64})
	must(err)
	var row struct {
		Square float64 `rethinkdb:"square"`
	}
	many, sum := 0, 0.0
	for cursor.Next(&row) {
		many++
		sum += row.Square
	}
	must(cursor.Err())
	check("and read in several batches", array{many, sum}, array{1000, 332833500})
	endless, err := r.Range().Run(session)
	must(err)
	var first, second int
	endless.Next(&first)
	endless.Next(&second)
	must(endless.Close())
	check("a cursor may be left before its end", array{first, second}, array{0, 1})
	var group sync.WaitGroup
	answers := make(array, 100)
	wanted := make(array, 100)
	for n := range answers {
		group.Add(1)
		wanted[n] = n * 2
		go func(n int) {
			defer group.Done()
			var answer interface{}
			if err := r.Expr(n).Mul(2).ReadOne(&answer, session); err == nil {
				answers[n] = answer
			}
		}(n)
	}
	group.Wait()
	check("a hundred queries at once", answers, wanted)
}

func feeds() {
	feed, err := tasks.Changes().Run(session)
	must(err)
	alone, err := tasks.Get("milk").Changes(r.ChangesOpts{IncludeInitial: true}).Run(session)
	must(err)
	next := func(cursor *r.Cursor) interface{} {
		var change object
		cursor.Next(&change)
		must(cursor.Err())
		return change
	}
	check("a feed of one document begins with it", next(alone), object{"new_val": list[2]})
	plant := object{"id": "plant", "title": "Water the plant"}
	done := copyOf(list[2])
	done["done"] = true
	must(tasks.Insert(plant).Exec(session))
	must(tasks.Get("milk").Update(object{"done": true}).Exec(session))
	must(tasks.Get("plant").Delete().Exec(session))
	check("a feed tells of an insert", next(feed), object{"new_val": plant, "old_val": nil})
	check("of an update", next(feed), object{"new_val": done, "old_val": list[2]})
	check("of a delete", next(feed), object{"new_val": nil, "old_val": plant})
	check("the feed of one document tells of it alone", next(alone), object{"new_val": done, "old_val": list[2]})
	must(feed.Close())
	must(alone.Close())
	check("queries run after they are closed", one(tasks.Filter(object{"done": true}).Count()), 2)
}

func errors() {
	run := func(query r.Term, opts ...r.RunOpts) error {
		_, err := query.Run(session, opts...)
		return err
	}
	fails("a missing field", r.RQLNonExistenceError{}, "No attribute `colour` in object", run(tasks.Get("milk").Field("colour")))
	check("has a default", one(tasks.Get("milk").Field("colour").Default("white")), "white")
	fails("a missing table", r.RQLOpFailedError{}, "Table `todo_go.nothing` does not exist.", run(db.Table("nothing")))
	fails("types that do not fit", r.RQLQueryLogicError{}, "Expected type NUMBER but found STRING.", run(r.Expr(1).Add("one")))
	fails("an error of our own", r.RQLUserError{}, "no more tasks", run(r.Error("no more tasks")))
	fails("an array over the limit", r.RQLResourceLimitError{}, "Array over size limit `3`.",
		run(tasks.CoerceTo("array"), r.RunOpts{ArrayLimit: 3}))
	fails("too few arguments", r.RQLCompileError{}, "Expected 2 arguments but found 1.", run(tasks.Get()))
	wrong := options()
	wrong.Username, wrong.Password = "admin", "wrong"
	_, err := r.Connect(wrong)
	fails("a wrong password", r.RQLAuthError{}, "Wrong password", err)
	check("the connections are none the worse", one(tasks.Count()), 5)
}

func dropTables() {
	table, err := db.TableDrop("tasks").RunWrite(session)
	must(err)
	check("a table is dropped", table.TablesDropped, 1)
	dropped, err := r.DBDrop(database).RunWrite(session)
	must(err)
	check("and a database with the rest", array{dropped.DBsDropped, dropped.TablesDropped}, array{1, 2})
}

func main() {
	step("connect", func() {
		var err error
		session, err = r.Connect(options())
		must(err)
	})
	step("createTables", createTables)
	step("write", write)
	step("read", read)
	step("values", values)
	step("cursors", cursors)
	step("feeds", feeds)
	step("errors", errors)
	step("dropTables", dropTables)
	step("close", func() { must(session.Close()) })
	finish()
}
