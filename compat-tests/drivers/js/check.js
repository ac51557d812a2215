// Numbered checks: `check` compares an answer with what it must be, `fails` expects an error of a class.

const { isDeepStrictEqual, inspect } = require('node:util');

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

function summary() {
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0;
}

module.exports = { check, fails, summary };
