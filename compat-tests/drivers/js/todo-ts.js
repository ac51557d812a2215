// The to-do list with `rethinkdb-ts`, every answer checked.

const { r } = require('rethinkdb-ts');
const { fails, server, step, tell } = require('./check');
const pooled = require('./pooled');

tell(async () => {
  await step('connect', () => r.connectPool({ ...server, buffer: 2, max: 8, silent: true, waitForHealthy: true }));
  await pooled({
    r,
    database: 'todo_ts',
    openCursor: (query, options) => query.getCursor(options),
    errors: {
      // as the driver spells it
      nonExistence: 'ReqlNonExistanceError',
      opFailed: 'ReqlOpFailedError',
      logic: 'ReqlLogicError',
      resource: 'ReqlResourceError',
      user: 'ReqlUserError',
    },
  });
  await step('a wrong password', () => fails('a wrong password', 'ReqlAuthError', 'Wrong password',
    r.connect({ ...server, password: 'wrong' })));
  await step('close', () => r.getPoolMaster().drain());
});
