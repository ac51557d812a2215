// Recorded queries of each chapter of the API documentation through the driver: built by its own API, and the value
// that it makes of the answer compared with the recorded response, converted by the rules of this file. A query is
// named `script#step`; the answer stays in ../../oracle, where it is looked up. ../python/recorded.py does the same.

const fs = require('node:fs');
const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');
const r = require('rethinkdb');
const { check, fails, server, step, tell } = require('./check');

const ORACLE = path.join(__dirname, '../../oracle');
const db = r.db('oracle');
const docs = db.table('docs');
const deep = { a: 1, b: { c: 2, d: { e: 3, f: [1, 2] } }, g: [{ h: 1, i: 2 }, { h: 3 }], n: null };

const CHAPTERS = {
  administration: {
    'admin/databases/0#17': () => db.config(),
    'admin/databases/0#45': () => db.table('a').config(),
    'admin/databases/0#52': () => db.table('a').wait(),
    'admin/databases/0#66': () => db.table('a').reconfigure({ shards: 0, replicas: 1 }),
  },
  aggregation: {
    'values/cases/2565#0': () => r.expr([{ a: 1, b: 2 }, { a: 1, b: 3 }]).group('a', 'b'),
    'values/cases/2566#0': () => r.expr([{ a: [1, 2] }, { a: [2] }]).group('a', { multi: true }),
    'values/cases/2567#0': () => r.expr([1, 2]).group((x) => x).ungroup(),
    'tables/pipeline/0#41': () => docs.orderBy({ index: 'id' }).sum((row) => row('id')),
  },
  'control structures': {
    'more/js/11#0': () => r.js('new Date(1375147296681)'),
    'values/json/1822#0': () => r.json('{"$reql_type$":"TIME","epoch_time":1,"timezone":"+00:00"}'),
    'values/cases/2680#0': () => r.uuid('rethink'),
    'values/binary/2440#0': () => r.binary(Buffer.from([255, 239])),
    'pure/binary/5785#0': () => r.binary(Buffer.from([1, 2, 3])).default(r.point(-122.4, 37.7)),
  },
  'dates and times': {
    'values/iso8601/7#0': () => r.ISO8601('2013-07-30T20:56:05Z', { defaultTimezone: 'UTC' }),
    'values/iso8601/10#0': () => r.ISO8601('2013-07-30T20:56:05.123456Z').toISO8601(),
    'pure/fuzz/33#0': () => r.epochTime(1375147296.68).inTimezone('+02:00'),
    'pure/fuzz/298#0': () => r.time(1970, 2, 1, 'Z'),
    'values/during/314#0': () => r.epochTime(1375147296.681)
      .during(r.epochTime(1e9), r.epochTime(-62135596800), { leftBound: 'open', rightBound: 'closed' }),
  },
  'document manipulation': {
    'values/shape/2162#0': () => r.expr(deep).without({ a: 'x' }, { b: true }, []),
    'values/shape/2204#0': () => r.expr(deep).pluck({ b: { zz: true } }, { a: 'x' }),
    'values/merge/2360#0': () => r.expr(deep).merge({ b: { c: 9 } }),
    'values/cases/2501#0': () => r.expr(deep).keys(),
    'values/cases/2502#0': () => r.expr(deep).values(),
  },
  geospatial: {
    'geo/make/121#0': () => r.point(-122.56994807565468, 36.3739557101697),
    'geo/distance/4#0': () => r.point(162.83956722933868, 64.27608229153074)
      .distance(r.point(-75.18987550725438, 60.97998078496752), { geoSystem: 'WGS84', unit: 'ft' }),
    'geo/includes/95#0': () => r.polygon([-123, 36], [-121, 36], [-121, 38], [-123, 38])
      .includes(r.point(-121.86367389107116, 36.2062195994726)),
    'geo/cases/338#0': () => r.line([0, 0], [1, 0], [1, 1]).fill(),
  },
  joins: {
    'values/cases/2645#0': () => r.expr([{ a: 1 }, { a: 2 }])
      .outerJoin([{ a: 2, b: 1 }], (x, y) => x('a').eq(y('a'))).zip(),
    'tables/pipeline/0#37': () => docs.orderBy({ index: 'id' })
      .outerJoin(db.table('others'), (doc, other) => doc('id').eq(other('ref'))).orderBy(r.desc('n'), r.asc('id')).coerceTo('array'),
    'tables/pipeline/0#81': () => docs.getAll(2, { index: 'g' }).eqJoin('g', db.table('others'), { index: 'g' }),
  },
  'manipulating databases': {
    'admin/databases/0#0': () => r.dbCreate('oracle'),
    'admin/databases/0#9': () => r.dbDrop('nope'),
    'admin/databases/0#10': () => r.dbList().contains('oracle'),
  },
  'manipulating tables': {
    'admin/databases/0#19': () => db.tableCreate('a'),
    'admin/databases/0#36': () => db.tableList(),
    'admin/databases/0#38': () => db.tableDrop('c'),
    'indexes/life/0#2': () => db.table('i').indexCreate('a'),
    'indexes/life/0#25': () => db.table('i').indexRename('a', 'a2'),
    'indexes/life/0#35': () => db.table('i').indexList(),
  },
  'math and logic': {
    'values/number/1957#0': () => r.expr(123456789.12345679).round(),
    'values/number/1978#0': () => r.expr(9007199254740992).mod(1),
    'pure/ternary/8697#0': () => r.binary(Buffer.from([1, 2, 3])).eq(null, (x) => x),
    'pure/binary/5520#0': () => r.binary(Buffer.from([1, 2, 3])).and(true),
  },
  'selecting data': {
    'writes/keys/0#4': () => db.table('k').get(0),
    'tables/pipeline/0#17': () => docs.filter((row) => row('n').gt(2)).filter((row) => row('tags').contains('x', 'y')),
    'tables/pipeline/0#49': () => docs.between(5, 30),
  },
  'string manipulation': {
    'values/match/927#0': () => r.expr('a').match('(?s).*'),
    'values/match/953#0': () => r.expr('foo').match('^f'),
    'values/split/1430#0': () => r.expr('日本語 テキスト').split(null, 1),
  },
  transformations: {
    'values/cases/2599#0': () => r.expr([[1], [2, 3]]).concatMap((x) => x),
    'more/slices/582#0': () => r.expr([1, 'a', 'a', 1, 1]).slice(3, 6),
    'tables/pipeline/0#20': () => docs.between(r.minval, 16).orderBy({ index: 'id' }).offsetsOf((row) => row('g').eq(1)),
    'tables/pipeline/0#52': () => docs.orderBy({ index: 'id' }).skip(2),
  },
  'writing data': {
    'writes/mix/20#2': () => db.table('w').insert([0, 1, 2, 3, 4].map((n) => ({ id: n, a: n }))),
    'writes/mix/20#3': () => db.table('w').get(1).replace((row) => row.merge({ rnd: r.random().typeOf() }), { nonAtomic: true }),
    'writes/mix/20#7': () => db.table('w').sync(),
    'writes/mix/20#11': () => db.table('w').orderBy({ index: 'id' }).forEach((row) => db.table('w').get(row('id')).update({ fe: 1 })),
  },
};

const ERRORS = { 3000000: 'ReqlQueryLogicError', 3100000: 'ReqlNonExistenceError', 4100000: 'ReqlOpFailedError' };

function load() {
  const scripts = new Map();
  for (const file of fs.readdirSync(ORACLE).filter((name) => name.endsWith('.jsonl'))) {
    for (const line of fs.readFileSync(path.join(ORACLE, file), 'utf8').split('\n').filter(Boolean)) {
      const script = JSON.parse(line);
      scripts.set(script.id, script);
    }
  }
  return scripts;
}

// What the driver's documentation says it makes of a value.
function convert(value) {
  if (Array.isArray(value)) return value.map(convert);
  if (value === null || typeof value !== 'object') return value;
  switch (value.$reql_type$) {
    case 'TIME': return new Date(value.epoch_time * 1000);
    case 'BINARY': return Buffer.from(value.data, 'base64');
    case 'GROUPED_DATA': return value.data.map(([group, reduction]) => ({ group: convert(group), reduction: convert(reduction) }));
    default: return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, convert(item)]));
  }
}

// The answer with what differs from run to run taken from it, so that the two can be compared.
function masked(want, got) {
  if (want !== null && typeof want === 'object' && want.$any$ && got !== undefined) return want;
  if (Array.isArray(want) && Array.isArray(got)) return [...got].map((item, at) => masked(want[at], item));
  if (!want || !got || [want, got].some((value) => Object.getPrototypeOf(value) !== Object.prototype)) return got;
  return Object.fromEntries(Object.entries(got).map(([name, item]) => [name, masked(want[name], item)]));
}

const sorted = (rows) => [...rows].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

// A term with its variables numbered from 1 and bytes as the drivers write them: what two spellings have in common.
function canonical(term, variables = new Map()) {
  if (Array.isArray(term)) {
    if (term[0] === 155 && term[1][0].$reql_type$) return canonical(term[1][0]);
    if (term[0] === 69) term[1][0][1].forEach((name) => variables.set(name, variables.size + 1));
    if (term[0] === 69 || term[0] === 10) {
      const [head, [first, ...rest]] = term;
      const names = head === 69 ? first[1].map((name) => variables.get(name)) : variables.get(first);
      return [head, names, ...rest.map((item) => canonical(item, variables))];
    }
    return term.map((item) => canonical(item, variables));
  }
  if (term === null || typeof term !== 'object') return term;
  return Object.fromEntries(Object.entries(term).map(([name, item]) => [name, canonical(item, variables)]));
}

// A recorded query as it stands, for the steps before.
const raw = (query) => ({ build: () => query, compose: () => ['recorded'], args: [], optargs: {} });
const start = (conn, term, options) => new Promise((resolve, reject) => {
  conn._start(term, (error, answer) => (error ? reject(error) : resolve(answer)), options);
});

async function compare(conn, what, recorded, term) {
  const same = isDeepStrictEqual(canonical(term.build()), canonical(recorded.q));
  if (!same) check(`${what} is the recorded query`, canonical(term.build()), canonical(recorded.q));
  const options = Object.fromEntries(Object.entries(recorded.o).map(
    ([name, value]) => [name.replace(/_(.)/g, (_, letter) => letter.toUpperCase()), value]));
  const want = recorded.x;
  if (want.t === 18) {
    await fails(what, ERRORS[want.e], want.r[0], term.run(conn, options));
    return;
  }
  const answer = await term.run(conn, options);
  const got = want.t === 2 ? await answer.toArray() : answer;
  const expected = convert(want.t === 2 ? want.r : want.r[0]);
  if (recorded.bag && Array.isArray(expected)) check(what, sorted(masked(expected, got)), sorted(expected));
  else check(what, masked(expected, got), expected);
}

// Plays a script up to the last of its steps that are asked for, those before as they stand.
async function play(conn, script, wanted) {
  for (const name of script.dbs || []) await r.dbDrop(name).run(conn).catch(() => undefined);
  const last = Math.max(...wanted.keys());
  for (const [at, recorded] of script.steps.slice(0, last + 1).entries()) {
    const asked = wanted.get(at);
    if (asked) await compare(conn, `${asked.chapter}: ${script.id}#${at}`, recorded, asked.build());
    else await start(conn, raw(recorded.q), {}).catch(() => undefined);
  }
}

tell(async () => {
  const scripts = load();
  const conn = await step('connect', () => r.connect(server));
  const byScript = new Map();
  for (const [chapter, queries] of Object.entries(CHAPTERS)) {
    for (const [id, build] of Object.entries(queries)) {
      const [name, at] = id.split('#');
      if (!byScript.has(name)) byScript.set(name, new Map());
      byScript.get(name).set(Number(at), { chapter, build });
    }
  }
  for (const [name, wanted] of byScript) await step(name, () => play(conn, scripts.get(name), wanted));
  await step('close', () => conn.close());
});
