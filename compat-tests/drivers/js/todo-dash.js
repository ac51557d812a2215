// The to-do list with `rethinkdbdash`, every answer checked. It sends its version and its login together.

const rethinkdbdash = require('rethinkdbdash');
const { fails, server, step, tell } = require('./check');
const pooled = require('./pooled');

tell(async () => {
  const r = rethinkdbdash({ servers: [server], buffer: 2, max: 8, silent: true, timeout: 10 });
  await step('connect', () => r.expr(1).run());
  await pooled({
    r,
    database: 'todo_dash',
    openCursor: (query, options) => query.run({ ...options, cursor: true }),
    errors: {
      // the driver has no class of its own for what is missing
      nonExistence: 'ReqlRuntimeError',
      opFailed: 'ReqlOpFailedError',
      logic: 'ReqlLogicError',
      resource: 'ReqlResourceError',
      user: 'ReqlUserError',
    },
  });
  await step('a wrong password', () => fails('a wrong password', 'ReqlDriverError', 'Wrong password',
    rethinkdbdash({ pool: false, silent: true }).connect({ ...server, password: 'wrong' })));
  await step('close', () => r.getPoolMaster().drain());
});
