// The story of the to-do list for drivers that keep a pool of connections and give the rows of a stream as an array:
// todo-dash.js and todo-ts.js tell it. A driver says how it opens a cursor and what it calls the classes of errors.

const { check, fails, step, written } = require('./check');
const { LIST } = require('./tasks');

function parts({ r, database, openCursor, errors: names }) {
  const db = r.db(database);
  const tasks = db.table('tasks');
  const people = db.table('people');
  const ids = (rows) => rows.map((row) => row.id).sort();

  async function createTables() {
    if ((await r.dbList().run()).includes(database)) await r.dbDrop(database).run();
    const created = await r.dbCreate(database).run();
    check('a database is created', [created.dbs_created, created.config_changes[0].new_val.name], [1, database]);
    const table = await db.tableCreate('tasks').run();
    check('a table is created', [table.tables_created, table.config_changes[0].new_val.primary_key], [1, 'id']);
    await db.tableCreate('people', { primaryKey: 'name' }).run();
    check('both tables are listed', await db.tableList().run(), ['people', 'tasks']);
    check('an index is created', await tasks.indexCreate('list').run(), { created: 1 });
    check('and ready', (await tasks.indexWait('list').run()).map((index) => [index.index, index.ready]), [['list', true]]);
  }

  async function write() {
    check('one document is inserted', await tasks.insert(LIST[0]).run(), written({ inserted: 1 }));
    check('a batch is inserted', await tasks.insert(LIST.slice(1)).run(), written({ inserted: 4 }));
    check('a table may have a primary key of its own name',
      await people.insert([{ name: 'ana', city: 'Oslo' }, { name: 'ben', city: 'Turin' }]).run(), written({ inserted: 2 }));
    const note = await tasks.insert({ title: 'no id' }, { returnChanges: true }).run();
    const key = note.generated_keys[0];
    check('a missing key is generated', [note.inserted, key.length, note.changes],
      [1, 36, [{ new_val: { id: key, title: 'no id' }, old_val: null }]]);
    const twice = await tasks.insert(LIST[0], { conflict: 'error' }).run().then((answer) => answer.first_error, (error) => error.message);
    check('a key that is taken is an error', twice.includes('Duplicate primary key `id`:'), true);
    check('or replaces', await tasks.insert({ id: key, more: 1 }, { conflict: 'replace' }).run(), written({ replaced: 1 }));
    check('one document is updated', await tasks.get(key).update({ more: r.row('more').add(1) }).run(), written({ replaced: 1 }));
    check('and so it did', await tasks.get(key).run(), { id: key, more: 2 });
    check('one document is replaced', await tasks.get(key).replace((task) => task.without('more')).run(), written({ replaced: 1 }));
    check('one document is deleted', await tasks.get(key).delete().run(), written({ deleted: 1 }));
    check('and is gone', await tasks.get(key).run(), null);
  }

  async function read() {
    check('get', await tasks.get('milk').run(), LIST[2]);
    check('getAll', ids(await tasks.getAll('milk', 'lamp', 'none').run()), ['lamp', 'milk']);
    check('getAll by an index', ids(await tasks.getAll('office', { index: 'list' }).run()), ['report', 'taxes']);
    check('between', await tasks.between('c', 'report', { rightBound: 'closed' }).orderBy('id')('id').run(), ['lamp', 'milk', 'report']);
    check('filter by fields', await tasks.filter({ list: 'home', done: false }).count().run(), 2);
    check('filter by a function', await tasks.filter((task) => task('minutes').gt(30).and(task('tags').contains('soon')))('id').run(), ['taxes']);
    check('map', (await tasks.map((task) => task('minutes').mul(2)).run()).sort((a, b) => a - b), [20, 30, 80, 180, 240]);
    check('orderBy, first down, then up',
      await tasks.orderBy(r.desc('priority'), 'title')('id').run(), ['milk', 'report', 'bread', 'taxes', 'lamp']);
    check('skip and limit', await tasks.orderBy('id').skip(1).limit(2)('id').run(), ['lamp', 'milk']);
    check('pluck', await tasks.get('milk').pluck('id', 'priority').run(), { id: 'milk', priority: 3 });
    check('group', await tasks.group('list').count().run(), [{ group: 'home', reduction: 3 }, { group: 'office', reduction: 2 }]);
    check('group and sum', await tasks.group('owner').sum('minutes').ungroup().orderBy(r.desc('reduction'))('group').run(), ['ben', 'eva', 'ana']);
    check('map and reduce', await tasks.map(r.row('minutes')).reduce((a, b) => a.add(b)).run(), 275);
    const joined = tasks.eqJoin('owner', people).zip().orderBy('id');
    check('eqJoin', await joined.map((row) => row('id').add(' in ', row('city'))).run(),
      ['bread in Oslo', 'lamp in Turin', 'milk in Oslo', 'report in Turin']);
  }

  async function values() {
    const due = new Date('2026-05-04T12:30:00.250Z');
    const scan = Buffer.from([0, 1, 2, 254, 255]);
    check('a time and binary are written', await tasks.get('taxes').update({ due, scan }).run(), written({ replaced: 1 }));
    const taxes = await tasks.get('taxes').run();
    check('a time comes back as it was', taxes.due, due);
    check('binary comes back as it was', taxes.scan, scan);
    check('times print as ISO 8601', await tasks.get('taxes')('due').inTimezone('+02:00').toISO8601().run(), '2026-05-04T14:30:00.250+02:00');
    const deep = { a: [1, { b: [null, true, 'ü\u0000☃'] }], n: 1e300 };
    check('deep values survive', await r.expr(deep).run(), deep);
    const place = { $reql_type$: 'GEOMETRY', type: 'Point', coordinates: [10.75, 59.91] };
    check('a point is GeoJSON', await r.point(10.75, 59.91).run(), place);
  }

  async function cursors() {
    const numbers = db.table('numbers');
    await db.tableCreate('numbers').run();
    const thousand = r.range(1000).map((n) => ({ id: n, square: n.mul(n) })).coerceTo('array');
    check('a thousand documents are written by one query', await numbers.insert(thousand).run(), written({ inserted: 1000 }));
    const cursor = await openCursor(numbers, { maxBatchRows: 64 });
    let rows = 0;
    let sum = 0;
    await cursor.eachAsync(async (row) => { rows += 1; sum += row.square; });
    check('and read in several batches', [rows, sum], [1000, 332833500]);
    // these drivers know no range without an end
    const long = await openCursor(r.range(1e12));
    check('a cursor may be left before its end', [await long.next(), await long.next(), await long.next()], [0, 1, 2]);
    await long.close();
    const questions = Array.from({ length: 100 }, (_, n) => r.expr(n).mul(2).run());
    check('a hundred queries at once', await Promise.all(questions), Array.from({ length: 100 }, (_, n) => n * 2));
  }

  async function feeds() {
    const feed = await tasks.changes().run();
    const one = await tasks.get('milk').changes({ includeInitial: true }).run();
    check('a feed of one document begins with it', await one.next(), { new_val: LIST[2] });
    const plant = { id: 'plant', title: 'Water the plant' };
    const done = { ...LIST[2], done: true };
    await tasks.insert(plant).run();
    await tasks.get('milk').update({ done: true }).run();
    await tasks.get('plant').delete().run();
    check('a feed tells of an insert', await feed.next(), { new_val: plant, old_val: null });
    check('of an update', await feed.next(), { new_val: done, old_val: LIST[2] });
    check('of a delete', await feed.next(), { new_val: null, old_val: plant });
    check('the feed of one document tells of it alone', await one.next(), { new_val: done, old_val: LIST[2] });
    await feed.close();
    await one.close();
    check('queries run after they are closed', await tasks.filter({ done: true }).count().run(), 2);
  }

  async function errors() {
    await fails('a missing field', names.nonExistence, 'No attribute `colour` in object', tasks.get('milk')('colour').run());
    check('has a default', await tasks.get('milk')('colour').default('white').run(), 'white');
    await fails('a missing table', names.opFailed, `Table \`${database}.nothing\` does not exist.`, db.table('nothing').run());
    await fails('types that do not fit', names.logic, 'Expected type NUMBER but found STRING.', r.expr(1).add('one').run());
    await fails('an error of our own', names.user, 'no more tasks', r.error('no more tasks').run());
    await fails('an array over the limit', names.resource, 'Array over size limit `3`.', tasks.coerceTo('array').run({ arrayLimit: 3 }));
    check('the connections are none the worse', await tasks.count().run(), 5);
  }

  async function dropTables() {
    check('a table is dropped', (await db.tableDrop('tasks').run()).tables_dropped, 1);
    const dropped = await r.dbDrop(database).run();
    check('and a database with the rest', [dropped.dbs_dropped, dropped.tables_dropped], [1, 2]);
  }

  return [createTables, write, read, values, cursors, feeds, errors, dropTables];
}

module.exports = async function pooled(driver) {
  for (const part of parts(driver)) await step(part.name, part);
};
