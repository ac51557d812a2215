// A to-do list on PhotonDB with the official RethinkDB driver for JavaScript, every answer checked.
// The same story is told in ../python/todo.py. Run it with PHOTONDB_PORT set to the driver port of a server.

const r = require('rethinkdb');
const { check, fails, server, step, tell, written } = require('./check');
const { LIST } = require('./tasks');

const all = (query, conn) => query.run(conn).then((rows) => rows.toArray());

const db = r.db('todo_js');
const tasks = db.table('tasks');
const people = db.table('people');

async function createTables(conn) {
  const about = await conn.server();
  check('the server tells its id and name', [typeof about.id, about.name.length > 0, about.proxy], ['string', true, false]);
  if ((await r.dbList().run(conn)).includes('todo_js')) await r.dbDrop('todo_js').run(conn);
  const created = await r.dbCreate('todo_js').run(conn);
  check('a database is created', [created.dbs_created, created.config_changes[0].new_val.name], [1, 'todo_js']);
  const table = await db.tableCreate('tasks').run(conn);
  check('a table is created', [table.tables_created, table.config_changes[0].new_val.primary_key], [1, 'id']);
  await db.tableCreate('people', { primaryKey: 'name' }).run(conn);
  check('both tables are listed', await db.tableList().run(conn), ['people', 'tasks']);
}

async function write(conn) {
  check('one document is inserted', await tasks.insert(LIST[0]).run(conn), written({ inserted: 1 }));
  check('a batch is inserted', await tasks.insert(LIST.slice(1)).run(conn), written({ inserted: 4 }));
  check('a table may have a primary key of its own name',
    await people.insert([{ name: 'ana', city: 'Oslo' }, { name: 'ben', city: 'Turin' }]).run(conn), written({ inserted: 2 }));
  const note = await tasks.insert({ title: 'no id' }, { returnChanges: true }).run(conn);
  const key = note.generated_keys[0];
  check('a missing key is generated', [note.inserted, key.length, note.changes],
    [1, 36, [{ new_val: { id: key, title: 'no id' }, old_val: null }]]);

  const twice = await tasks.insert(LIST[0]).run(conn);
  check('a key that is taken is an error', [twice.errors, twice.first_error.split('\n')[0]], [1, 'Duplicate primary key `id`:']);
  check('or replaces', await tasks.insert({ id: key, title: 'new' }, { conflict: 'replace' }).run(conn), written({ replaced: 1 }));
  check('or updates', await tasks.insert({ id: key, more: 1 }, { conflict: 'update' }).run(conn), written({ replaced: 1 }));
  check('and so it did', await tasks.get(key).run(conn), { id: key, title: 'new', more: 1 });

  check('one document is updated', await tasks.get(key).update({ more: r.row('more').add(1) }).run(conn), written({ replaced: 1 }));
  check('an update that changes nothing says so', await tasks.get(key).update({ more: 2 }).run(conn), written({ unchanged: 1 }));
  check('an update may tell what it changed',
    (await tasks.get(key).update({ more: 3 }, { returnChanges: true }).run(conn)).changes,
    [{ old_val: { id: key, title: 'new', more: 2 }, new_val: { id: key, title: 'new', more: 3 } }]);
  check('one document is replaced', await tasks.get(key).replace((task) => task.without('more')).run(conn), written({ replaced: 1 }));
  check('and has lost its field', await tasks.get(key).run(conn), { id: key, title: 'new' });
  check('one document is deleted', await tasks.get(key).delete().run(conn), written({ deleted: 1 }));
  check('and is gone', await tasks.get(key).run(conn), null);
  check('many are updated at once', await tasks.update({ seen: true }).run(conn), written({ replaced: 5 }));
  check('and put back', await tasks.replace(r.row.without('seen')).run(conn), written({ replaced: 5 }));
}

async function read(conn) {
  check('get', await tasks.get('milk').run(conn), LIST[2]);
  check('getAll', (await all(tasks.getAll('milk', 'lamp', 'none'), conn)).map((task) => task.id).sort(), ['lamp', 'milk']);
  check('between leaves out its end', await tasks.between('c', 'report').orderBy('id')('id').run(conn), ['lamp', 'milk']);
  check('between may take it in', await tasks.between('c', 'report', { rightBound: 'closed' }).count().run(conn), 3);
  check('count', await tasks.count().run(conn), 5);
  check('filter by fields', await tasks.filter({ list: 'home', done: false }).count().run(conn), 2);
  check('filter by a function', await tasks.filter((task) => task('minutes').gt(30).and(task('tags').contains('soon')))('id').coerceTo('array').run(conn), ['taxes']);
  check('filter passes over what is missing', await tasks.filter(r.row('boss')('name').eq('eva')).count().run(conn), 0);
  check('map', (await all(tasks.map((task) => task('minutes').mul(2)), conn)).sort((a, b) => a - b), [20, 30, 80, 180, 240]);
  check('orderBy, first down, then up',
    await tasks.orderBy(r.desc('priority'), 'title')('id').run(conn), ['milk', 'report', 'bread', 'taxes', 'lamp']);
  check('skip and limit', await tasks.orderBy('id').skip(1).limit(2)('id').run(conn), ['lamp', 'milk']);
  check('pluck', await tasks.get('milk').pluck('id', 'priority').run(conn), { id: 'milk', priority: 3 });
  check('merge', await tasks.get('lamp').merge((task) => ({ hours: task('minutes').div(60).round() })).pluck('id', 'hours').run(conn),
    { id: 'lamp', hours: 1 });
  check('group', await tasks.group('list').count().run(conn), [{ group: 'home', reduction: 3 }, { group: 'office', reduction: 2 }]);
  check('group and sum', await tasks.group('owner').sum('minutes').ungroup().orderBy(r.desc('reduction')).run(conn),
    [{ group: 'ben', reduction: 160 }, { group: 'eva', reduction: 90 }, { group: 'ana', reduction: 25 }]);
  check('min, max and avg', await r.expr([tasks.min('minutes')('id'), tasks.max('minutes')('id'), tasks.avg('minutes')]).run(conn),
    ['milk', 'report', 55]);
  check('distinct tags', await tasks.concatMap(r.row('tags')).distinct().run(conn), ['shop', 'soon', 'tools']);
  check('map and reduce', await tasks.map(r.row('minutes')).reduce((a, b) => a.add(b)).run(conn), 275);
  const joined = tasks.innerJoin(people, (task, person) => task('owner').eq(person('name'))).zip();
  check('innerJoin', await joined.orderBy('id').map((row) => row('id').add(' in ', row('city'))).run(conn),
    ['bread in Oslo', 'lamp in Turin', 'milk in Oslo', 'report in Turin']);
  const homeless = tasks.outerJoin(people, (task, person) => task('owner').eq(person('name'))).filter((row) => row.hasFields('right').not());
  check('outerJoin keeps who has no partner', await homeless.map(r.row('left')('id')).coerceTo('array').run(conn), ['taxes']);
}

async function values(conn) {
  const due = new Date('2026-05-04T12:30:00.250Z');
  const bytes = Buffer.from([0, 1, 2, 254, 255]);
  await tasks.get('taxes').update({ due, scan: bytes }).run(conn);
  const taxes = await tasks.get('taxes').run(conn);
  check('a time comes back as it was', taxes.due, due);
  check('binary comes back as it was', taxes.scan, bytes);
  check('times have parts', await tasks.get('taxes')('due').do((time) => [time.year(), time.month(), time.dayOfWeek()]).run(conn), [2026, 5, 1]);
  check('times can be moved and compared', await tasks.filter(r.row('due').add(3600).gt(r.ISO8601('2026-05-04T13:00:00Z')))('id').coerceTo('array').run(conn), ['taxes']);
  check('times print as ISO 8601', await tasks.get('taxes')('due').inTimezone('+02:00').toISO8601().run(conn), '2026-05-04T14:30:00.250+02:00');
  check('binary has a length', await tasks.get('taxes')('scan').count().run(conn), 5);
  check('deep values survive', await r.expr({ a: [1, { b: [null, true, 'ü\u0000☃'] }], n: 1e300 }).run(conn), { a: [1, { b: [null, true, 'ü\u0000☃'] }], n: 1e300 });
}

async function cursors(conn) {
  const numbers = db.table('numbers');
  await db.tableCreate('numbers').run(conn);
  const thousand = r.range(1000).map((n) => ({ id: n, square: n.mul(n) })).coerceTo('array');
  check('a thousand documents are written by one query', await numbers.insert(thousand).run(conn), written({ inserted: 1000 }));
  const cursor = await numbers.run(conn, { maxBatchRows: 64 });
  let sum = 0;
  let rows = 0;
  await cursor.eachAsync((row) => { rows += 1; sum += row.square; });
  check('and read in several batches', [rows, sum], [1000, 332833500]);
  const endless = await r.range().run(conn);
  check('a cursor may be left before its end', [await endless.next(), await endless.next(), await endless.next()], [0, 1, 2]);
  await endless.close();
  for (let n = 1000; n < 1100; n += 1) numbers.insert({ id: n }, { durability: 'soft' }).run(conn, { noreply: true });
  await conn.noreplyWait();
  check('writes without an answer are done after noreplyWait', await numbers.count().run(conn), 1100);
  check('and deleted', await numbers.filter(r.row('id').ge(1000)).delete().run(conn), written({ deleted: 100 }));
}

async function parallel(conn) {
  const questions = Array.from({ length: 100 }, (_, n) => r.expr(n).mul(2).run(conn));
  check('a hundred queries at once on one connection', await Promise.all(questions), Array.from({ length: 100 }, (_, n) => n * 2));
  let slow = false;
  const long = r.range(1000000).map((n) => n.add(1)).count().run(conn).then((count) => { slow = true; return count; });
  check('a quick query does not wait for a slow one', [await r.expr(1).run(conn), slow], [1, false]);
  check('which ends as well', await long, 1000000);
}

async function feeds(conn, other) {
  const feed = await tasks.changes().run(conn);
  const one = await tasks.get('milk').changes({ includeInitial: true }).run(conn);
  check('a feed of one document begins with it', await one.next(), { new_val: LIST[2] });
  await tasks.insert({ id: 'plant', title: 'Water the plant' }).run(other);
  await tasks.get('milk').update({ done: true }).run(other);
  await tasks.get('plant').delete().run(other);
  const done = { ...LIST[2], done: true };
  check('a feed tells of an insert', await feed.next(), { new_val: { id: 'plant', title: 'Water the plant' }, old_val: null });
  check('of an update', await feed.next(), { new_val: done, old_val: LIST[2] });
  check('of a delete', await feed.next(), { new_val: null, old_val: { id: 'plant', title: 'Water the plant' } });
  check('the feed of one document tells of it alone', await one.next(), { new_val: done, old_val: LIST[2] });
  check('queries run beside open feeds', await tasks.filter({ done: true }).count().run(conn), 2);
  await feed.close();
  await one.close();
  await tasks.get('milk').update({ done: false }).run(other);
  check('and after they are closed', await tasks.filter({ done: true }).count().run(conn), 1);
}

async function errors(conn) {
  await fails('a missing field', 'ReqlNonExistenceError', 'No attribute `colour` in object', tasks.get('milk')('colour').run(conn));
  check('has a default', await tasks.get('milk')('colour').default('white').run(conn), 'white');
  await fails('a missing table', 'ReqlOpFailedError', 'Table `todo_js.nothing` does not exist.', db.table('nothing').run(conn));
  await fails('a table that is there already', 'ReqlOpFailedError', 'Table `todo_js.tasks` already exists.', db.tableCreate('tasks').run(conn));
  await fails('types that do not fit', 'ReqlQueryLogicError', 'Expected type NUMBER but found STRING.', r.expr(1).add('one').run(conn));
  await fails('an error of our own', 'ReqlUserError', 'no more tasks', r.branch(tasks.count().gt(3), r.error('no more tasks'), 1).run(conn));
  await fails('an array over the limit', 'ReqlResourceLimitError', 'Array over size limit `3`.', tasks.coerceTo('array').run(conn, { arrayLimit: 3 }));
  await fails('an unknown option', 'ReqlServerCompileError', 'Unrecognized optional argument `colour`.', tasks.insert({}, { colour: 'red' }).run(conn));
  await fails('too few arguments', 'ReqlServerCompileError', 'Expected 2 arguments but found 1.', tasks.get().run(conn));
  await fails('a wrong password', 'ReqlAuthError', 'Wrong password', r.connect({ ...server, password: 'wrong' }));
  await fails('an unknown user looks the same', 'ReqlAuthError', 'Wrong password', r.connect({ ...server, user: 'nobody' }));
  check('the connection is none the worse', await tasks.count().run(conn), 5);
}

async function dropTables(conn) {
  check('a table is dropped', (await db.tableDrop('tasks').run(conn)).tables_dropped, 1);
  const dropped = await r.dbDrop('todo_js').run(conn);
  check('and a database with the rest', [dropped.dbs_dropped, dropped.tables_dropped], [1, 2]);
}

tell(async () => {
  const [conn, other] = await step('connect', () => Promise.all([r.connect(server), r.connect(server)]));
  for (const part of [createTables, write, read, values, cursors, parallel, feeds, errors, dropTables]) {
    await step(part.name, () => part(conn, other));
  }
  await step('close', () => Promise.all([conn.close(), other.close()]));
});
