// Numbered checks: `check` compares an answer with what it must be, `fails` expects an error of a class, `step` runs
// one part of a story within a time, `tell` all of it.

const { isDeepStrictEqual, inspect } = require('node:util');

const PATIENCE_SECONDS = 60;

let passed = 0;
let failed = 0;

function report(good, what, detail) {
  if (good) passed += 1; else failed += 1;
  console.log(`${String(passed + failed).padStart(3)}. ${good ? 'ok    ' : 'FAILED'} ${what}`);
  if (!good) console.log(`     ${detail}`);
}

function check(what, answer, want) {
  // the driver gives an array methods of its own; compare the rows alone
  const got = Array.isArray(answer) ? [...answer] : answer;
  report(isDeepStrictEqual(got, want), what, `got ${inspect(got, { depth: 9 })}, not ${inspect(want, { depth: 9 })}`);
}

async function fails(what, errorClass, message, promise) {
  try {
    report(false, what, `got ${inspect(await promise)}, not an error`);
  } catch (error) {
    const good = error.name === errorClass && (error.msg || error.message).includes(message);
    report(good, what, `got ${error.name}: ${error.msg || error.message}`);
  }
}

// Runs one part of a story. A part that does not end in time fails loudly: it ends the program and names itself.
async function step(name, work) {
  const late = setTimeout(() => {
    report(false, `${name} ends`, `no end after ${PATIENCE_SECONDS} s`);
    summary();
    process.exit(1);
  }, PATIENCE_SECONDS * 1000);
  try {
    return await work();
  } catch (error) {
    report(false, `${name} ends`, error.stack || inspect(error));
    throw error;
  } finally {
    clearTimeout(late);
  }
}

// Tells a story to its end, whatever happens on the way, and ends the program by what it came to.
function tell(story) {
  process.on('uncaughtException', (error) => {
    report(false, 'nothing is thrown aside', error.stack);
    summary();
    process.exit(1);
  });
  story().catch(() => undefined).finally(() => process.exit(summary() ? 0 : 1));
}

function summary() {
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0;
}

// Counts of a write, of which all that are not named are zero.
const written = (counts) => ({ deleted: 0, errors: 0, inserted: 0, replaced: 0, skipped: 0, unchanged: 0, ...counts });

const server = { host: '127.0.0.1', port: Number(process.env.PHOTONDB_PORT || 28015) };

module.exports = { check, fails, server, step, tell, written };
