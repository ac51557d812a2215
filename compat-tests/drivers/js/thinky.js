// The to-do list as models of `thinky`, with a relation, a feed and errors by class; every answer checked.

const Thinky = require('thinky');
const { check, fails, server, step, tell } = require('./check');
const tasks = require('./tasks');

// thinky makes documents of the very objects it is given
const plain = (document) => JSON.parse(JSON.stringify(document));
const LIST = plain(tasks.LIST);
const database = 'todo_thinky';
const ids = (documents) => documents.map((document) => document.id);

function models(thinky) {
  const { type } = thinky;
  const Task = thinky.createModel('tasks', {
    id: type.string(),
    title: type.string().required(),
    list: type.string(),
    owner: type.string(),
    priority: type.number().min(1).max(3),
    minutes: type.number(),
    tags: type.array().schema(type.string()),
    done: type.boolean().default(false),
    due: type.date(),
  });
  const Person = thinky.createModel('people', { id: type.string(), city: type.string() });
  Task.belongsTo(Person, 'person', 'owner', 'id');
  Person.hasMany(Task, 'tasks', 'id', 'owner');
  Task.ensureIndex('list');
  return { Task, Person };
}

async function write({ Task, Person }) {
  const saved = await new Task(plain(LIST[0])).save();
  check('one document is saved', [saved.isSaved(), plain(saved)], [true, LIST[0]]);
  const batch = await Task.save(plain(LIST.slice(1)));
  check('a batch is saved', ids(batch), ['lamp', 'milk', 'report', 'taxes']);
  await Person.save([{ id: 'ben', city: 'Turin' }, { id: 'eva', city: 'Graz' }]);
  const ana = new Person({ id: 'ana', city: 'Oslo' });
  ana.tasks = await Task.filter({ owner: 'ana' }).run();
  await ana.saveAll({ tasks: true });
  check('a document is saved with those it has', [ana.isSaved(), ana.tasks.length], [true, 2]);
  const draft = await new Task({ title: 'no id' }).save();
  check('a missing key is generated and defaults are filled in', [draft.id.length, draft.done], [36, false]);
  draft.title = 'new';
  await draft.save();
  check('a document is saved again', (await Task.get(draft.id).run()).title, 'new');
  await draft.delete();
  check('a document is deleted', [draft.isSaved(), await Task.count().execute()], [false, 5]);
}

async function read({ Task, Person }, thinky) {
  const { r } = thinky;
  check('get', plain(await Task.get('milk').run()), LIST[2]);
  check('getAll by an index', ids(await Task.getAll('office', { index: 'list' }).orderBy('id').run()), ['report', 'taxes']);
  check('filter by a function', ids(await Task.filter((task) => task('minutes').gt(30).and(task('tags').contains('soon'))).run()), ['taxes']);
  check('orderBy, skip and limit', ids(await Task.orderBy({ index: 'id' }).skip(1).limit(2).run()), ['lamp', 'milk']);
  check('between and pluck', plain(await Task.between('c', 'n').orderBy('id').pluck('id', 'minutes').execute()),
    [{ id: 'lamp', minutes: 40 }, { id: 'milk', minutes: 10 }]);
  check('group', await Task.group('list').count().execute(), [{ group: 'home', reduction: 3 }, { group: 'office', reduction: 2 }]);
  check('sum', await Task.sum('minutes').execute(), 275);
  const milk = await Task.get('milk').getJoin({ person: true }).run();
  check('a task has its person', plain(milk.person), { id: 'ana', city: 'Oslo' });
  const people = await Person.orderBy('id').getJoin({ tasks: { _apply: (tasks) => tasks.orderBy('id') } }).run();
  check('people have their tasks', people.map((person) => [person.id, ids(person.tasks)]),
    [['ana', ['bread', 'milk']], ['ben', ['lamp', 'report']], ['eva', ['taxes']]]);
  check('updates give documents', (await Task.get('taxes').update({ due: r.ISO8601('2026-05-04T12:30:00.250Z') }).run()).due,
    new Date('2026-05-04T12:30:00.250Z'));
}

async function feeds({ Task }) {
  const feed = await Task.changes().run();
  const lamp = await Task.get('lamp').changes({ includeInitial: true }).run();
  check('a feed of one document begins with it', plain(lamp), LIST[1]);
  const lampChanges = new Promise((resolve, reject) => { lamp.on('change', resolve); lamp.on('error', reject); });
  const plant = new Task({ id: 'plant', title: 'Water the plant' });
  await plant.save();
  plant.done = true;
  await plant.save();
  await plant.delete();
  await Task.get('lamp').update({ minutes: 45 }).run();
  const inserted = await feed.next();
  check('a feed tells of an insert', [plain(inserted), inserted.getOldValue()], [{ id: 'plant', title: 'Water the plant', done: false }, null]);
  const updated = await feed.next();
  check('of an update', [updated.done, updated.getOldValue().done], [true, false]);
  const deleted = await feed.next();
  check('of a delete', [deleted.isSaved(), deleted.id], [false, 'plant']);
  await lampChanges;
  check('the feed of one document keeps it up to date', [lamp.minutes, lamp.getOldValue().minutes], [45, 40]);
  await feed.close();
  await lamp.closeFeed();
  check('queries run after they are closed', await Task.count().execute(), 5);
}

async function errors({ Task }, thinky) {
  const { Errors, r } = thinky;
  const caught = (promise) => promise.then(() => 'no error', (error) => error);
  check('a missing document', await caught(Task.get('none').run()) instanceof Errors.DocumentNotFound, true);
  check('a document without a field it needs', await caught(new Task({ id: 'x' }).save()) instanceof Errors.ValidationError, true);
  check('a key that is taken', await caught(new Task(plain(LIST[0])).save()) instanceof Errors.DuplicatePrimaryKey, true);
  await fails('an update that breaks a rule', 'Error', 'The write failed, and the changes were reverted', Task.get('milk').update({ priority: r.row('priority').add(6) }).run());
  check('which is undone', (await Task.get('milk').run()).priority, 3);
  await fails('types that do not fit', 'ReqlLogicError', 'Expected type NUMBER but found STRING.', Task.map(r.row('minutes').add('one')).execute());
}

tell(async () => {
  const thinky = new Thinky({ ...server, db: database, buffer: 2, max: 8, silent: true });
  await step('connect', () => thinky.dbReady());
  const ours = models(thinky);
  await step('createTables', () => Promise.all([ours.Task.ready(), ours.Person.ready()]));
  for (const part of [write, read, feeds, errors]) await step(part.name, () => part(ours, thinky));
  await step('close', async () => {
    await thinky.r.dbDrop(database).run();
    await thinky.r.getPoolMaster().drain();
  });
});
