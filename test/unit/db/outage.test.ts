import { expect } from 'chai';
import { DBError } from 'objection';
import { isOutage, orUnavailable } from '../../../db/outage.ts';
import { UnavailableError } from '../../../src/domain/errors.ts';

/** As the driver throws it. */
function driverError(code: string): Error {
  return Object.assign(new Error(`refused with ${code}`), { code });
}

/** As a query of a model throws it: its constructor takes more than its types say. */
const Wrapper = DBError as unknown as new (given: { nativeError: Error; client: string }) => Error;

function modelError(code: string): Error {
  return new Wrapper({ nativeError: driverError(code), client: 'postgres' });
}

describe('an outage of Postgres', () => {
  for (const [what, code] of Object.entries({
    'it is starting up': '57P03',
    'it is being stopped': '57P01',
    'it has too many connections': '53300',
    'it resolved a deadlock': '40P01',
  })) {
    it(`is told from the code when ${what}, by the driver and by models alike`, async () => {
      expect(isOutage(driverError(code))).to.equal(true);
      expect(isOutage(modelError(code))).to.equal(true);
      const answered = await orUnavailable(Promise.reject(modelError(code))).catch((error: unknown) => error);
      expect(answered).to.be.instanceOf(UnavailableError);
    });
  }

  it('is told from the word of the driver when a connection has died inside a transaction', () => {
    for (const message of [
      'Client has encountered a connection error and is not queryable',
      'Client was closed and is not queryable',
      'Transaction query already complete, run with DEBUG=knex:tx for more info',
    ])
      expect(isOutage(new Error(message)), message).to.equal(true);
  });

  it('is one of changes alone when the server only reads: there is a time to try again, and a code of its own', async () => {
    const answered = await orUnavailable(Promise.reject(modelError('25006'))).catch(
      (error: unknown) => error,
    );
    expect(answered).to.include({ status: 503, code: 'database_read_only', retryAfterSeconds: 5 });
  });

  it('is not what breaks a rule', () => {
    expect(isOutage(modelError('23505'))).to.equal(false);
    expect(isOutage(driverError('22P02'))).to.equal(false);
  });
});
