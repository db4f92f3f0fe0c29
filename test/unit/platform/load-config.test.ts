import { expect } from 'chai';
import { ConfigError, exampleSecret, loadConfig } from '../../../src/platform/config/load-config.ts';
import { renamedSettings } from '../../../src/platform/config/renamed-settings.ts';
import { settings } from '../../../src/platform/config/settings.ts';

const secret = 'long enough to be taken as a secret';
const production = {
  APP_ENV: 'production',
  DATABASE_URL: 'postgres://user:secret@db/pricepool',
  REDIS_URL: 'redis://redis:6379',
  JWT_SECRET: secret,
  PROVIDER: 'coingecko',
};

function problemsOf(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment);
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigError);
    return (error as ConfigError).problems;
  }
  return [];
}

describe('loadConfig', () => {
  it('needs nothing, and takes blank for absent', () => {
    const config = loadConfig({});
    expect(config).to.include({
      APP_ENV: 'development',
      PORT: 8080,
      UPSTREAM_CALLS_PER_MINUTE: undefined,
      JWT_EXPIRES_IN: 900,
    });
    expect(config.database).to.equal(undefined);
    expect(loadConfig({ PORT: '', PROVIDER: '  ', DATABASE_URL: '', REDIS_URL: '' })).to.deep.equal(config);
    expect(Object.isFrozen(config)).to.equal(true);
  });

  it('reads every kind of value, blanks around it ignored', () => {
    const config = loadConfig({
      PORT: ' 0 ',
      REPLAY_SPEED: '0.5',
      CORS_ORIGINS: 'https://a.example, https://b.example ,',
      JWT_EXPIRES_IN: '15m',
      JOB_RETENTION: '7d',
      LOG_LEVEL: 'silent',
      COINGECKO_BASE_URL: 'http://127.0.0.1:1234/api/v3',
    });
    expect(config).to.deep.include({
      PORT: 0,
      REPLAY_SPEED: 0.5,
      CORS_ORIGINS: ['https://a.example', 'https://b.example'],
      JWT_EXPIRES_IN: 900,
      JOB_RETENTION: 604_800,
      LOG_LEVEL: 'silent',
      COINGECKO_BASE_URL: 'http://127.0.0.1:1234/api/v3',
    });
  });

  it('takes no life of a ticket in which a stream could not be sent the next one', () => {
    expect(loadConfig({ STREAM_TICKET_EXPIRES_IN: '15s' }).STREAM_TICKET_EXPIRES_IN).to.equal(15);
    for (const short of ['14s', '1s'])
      expect(problemsOf({ STREAM_TICKET_EXPIRES_IN: short })[0]).to.match(/STREAM_TICKET.*at least 15s/);
  });

  it('names all that is wrong at once, and does not repeat what may be secret', () => {
    const problems = problemsOf({
      APP_ENV: 'prod',
      PORT: '65536',
      DATABASE_URL: 'mysql://root:hunter2@db',
      REDIS_URL: 'localhost:6379',
      JWT_SECRET: 'short',
      JWT_EXPIRES_IN: '0s',
      REPLAY_SPEED: '1e9',
      QUOTE_TTL: '1.5',
      PROVIDER: 'replay',
      COINGECKO_PLAN: 'demo',
    });
    const named = problems.map((problem) => problem.split(' ')[0]);
    expect(named).to.have.members([
      'APP_ENV',
      'PORT',
      'DATABASE_URL',
      'REDIS_URL',
      'JWT_SECRET',
      'JWT_EXPIRES_IN',
      'REPLAY_SPEED',
      'QUOTE_TTL',
      'REPLAY_DIR',
      'COINGECKO_API_KEY',
    ]);
    const message = new ConfigError(problems).message;
    for (const problem of problems) expect(message).to.include(problem);
    expect(message).to.include('PORT must be a whole number from 0 to 65535').and.not.include('hunter2');
  });

  for (const [name, values] of Object.entries({
    PORT: ['-1', '80a', '0x50', '1e3', 'NaN', '8080.0'],
    UPSTREAM_CALLS_PER_MINUTE: ['0', '10001', 'Infinity'],
    JWT_EXPIRES_IN: ['3600', '1.5h', '-1h', '1w', 'h'],
    QUOTE_TTL: ['60', '0s', '1500ms', '2d', '25h'],
    READ_WAIT: ['8', '8000', '31s', '-1s', '0.5s'],
    UPSTREAM_TIMEOUT: ['99ms', '61s', '0s'],
    APP_ENV: ['Production', 'staging'],
    REDIS_URL: ['http://localhost', 'redis//localhost'],
    WORKER_QUEUES: ['request', 'requests,refreshes', ','],
    CORS_ORIGINS: [
      'app.example',
      'https://app.example/',
      'https://app.example:443',
      'https://App.example',
      'https://user@app.example',
      'https://a.example https://b.example',
      'https://*, *.example',
    ],
  })) {
    it(`refuses ${values.join(', ')} as ${name}`, () => {
      for (const value of values)
        expect(problemsOf({ [name]: value })[0], value).to.match(new RegExp(`^${name} must be`));
    });
  }

  it('takes a duration in any unit', () => {
    const { QUOTE_TTL, READ_WAIT, UPSTREAM_TIMEOUT } = loadConfig({
      QUOTE_TTL: '2m',
      READ_WAIT: '0s',
      UPSTREAM_TIMEOUT: '1500ms',
    });
    expect({ QUOTE_TTL, READ_WAIT, UPSTREAM_TIMEOUT }).to.deep.equal({
      QUOTE_TTL: 120,
      READ_WAIT: 0,
      UPSTREAM_TIMEOUT: 1_500,
    });
  });

  it('refuses the names that settings had before, says the new ones, and repeats no value', () => {
    const problems = problemsOf({ CMC_API_KEY: 'hunter2', QUOTE_FRESH_SECONDS: '45', ASSET_LIST: ' ' });
    expect(problems).to.have.members([
      'CMC_API_KEY is now COINMARKETCAP_API_KEY: rename it',
      'QUOTE_FRESH_SECONDS is now QUOTE_TTL, with a unit behind the number (s): rename it',
    ]);
    for (const [old, { name }] of Object.entries(renamedSettings)) {
      expect(settings).to.have.property(name);
      expect(settings).not.to.have.property(old);
    }
  });

  it('says which parts of a list are wrong, and which there are', () => {
    expect(problemsOf({ WORKER_QUEUES: 'requests,request' })).to.deep.equal([
      'WORKER_QUEUES must be a comma-separated list of requests, refresh, maintenance, mail, books, portfolios, webhooks, not request',
    ]);
  });

  it('takes every queue once, and every kind of origin', () => {
    const config = loadConfig({
      WORKER_QUEUES: 'maintenance, refresh,maintenance',
      CORS_ORIGINS: '*,http://localhost:5173,http://[::1]:3000,chrome-extension://abcdef',
    });
    expect(config.WORKER_QUEUES).to.deep.equal(['refresh', 'maintenance']);
    expect(config.CORS_ORIGINS).to.have.length(4);
  });

  describe('the port of the embedded market', () => {
    const same = { PORT: '9000', MARKET_PORT: '9000' };

    it('must not be that of the API', () => {
      expect(problemsOf(same)).to.deep.equal(['MARKET_PORT must not be the PORT of the API (9000)']);
      expect(problemsOf({ ...same, PROVIDER: 'simulated' })).to.have.length(1);
      expect(problemsOf({ PORT: 'x', MARKET_PORT: 'y' })).to.have.length(2);
    });

    it('does not matter when it is any free one, the default, or of no market', () => {
      expect(problemsOf({ PORT: '0', MARKET_PORT: '0' })).to.deep.equal([]);
      expect(problemsOf({ PORT: '8090' })).to.deep.equal([]);
      expect(problemsOf({ ...same, PROVIDER: 'coingecko' })).to.deep.equal([]);
      expect(problemsOf({ ...same, COINGECKO_BASE_URL: 'http://127.0.0.1:1/api/v3' })).to.deep.equal([]);
    });
  });

  describe('in production', () => {
    it('takes a complete configuration', () => {
      expect(problemsOf(production)).to.deep.equal([]);
    });

    it('asks for everything that is embedded otherwise', () => {
      const problems = problemsOf({ APP_ENV: 'production' });
      expect(problems.map((problem) => problem.split(' ')[0])).to.have.members([
        'DATABASE_URL',
        'REDIS_URL',
        'JWT_SECRET',
        'PROVIDER',
      ]);
    });

    it('refuses the secret of .env.example, as everywhere', () => {
      expect(problemsOf({ ...production, JWT_SECRET: exampleSecret })).to.have.length(1);
      expect(problemsOf({ JWT_SECRET: exampleSecret })).to.have.length(1);
    });

    it('takes DB_HOST instead of DATABASE_URL', () => {
      expect(problemsOf({ ...production, DATABASE_URL: '', DB_HOST: 'db' })).to.deep.equal([]);
    });
  });

  describe('Postgres', () => {
    it('is found by its parts', () => {
      const parts = { DB_HOST: 'db', DB_PORT: '6432', DB_USER: 'me', DB_PASSWORD: 'pass', DB_NAME: 'prices' };
      expect(loadConfig(parts).database).to.deep.equal({
        host: 'db',
        port: 6432,
        user: 'me',
        password: 'pass',
        database: 'prices',
        ssl: false,
      });
      expect(loadConfig({ DB_HOST: 'db' }).database).to.deep.equal({
        host: 'db',
        port: 5432,
        user: 'pricepool',
        database: 'pricepool',
        ssl: false,
      });
    });

    it('is found by DATABASE_URL first', () => {
      const url = 'postgresql://db/pricepool';
      expect(loadConfig({ DATABASE_URL: url, DB_HOST: 'other' }).database).to.deep.equal({
        connectionString: url,
        ssl: false,
      });
    });

    it('checks certificates when asked to', () => {
      const ssl = (mode: string): unknown => loadConfig({ DB_HOST: 'db', DB_SSL_MODE: mode }).database?.ssl;
      expect(ssl('require')).to.deep.equal({ rejectUnauthorized: false });
      expect(ssl('verify-full')).to.deep.equal({ rejectUnauthorized: true });
      expect(problemsOf({ DB_SSL_MODE: 'prefer' })).to.have.length(1);
    });
  });
});

describe('secrets in the configuration', () => {
  const problemsOf = (environment: Record<string, string>): readonly string[] => {
    try {
      loadConfig(environment);
      return [];
    } catch (error) {
      if (error instanceof ConfigError) return error.problems;
      throw error;
    }
  };

  const good = 'Kq7vZ2xW9mT4sB8nR1cF6hJ3dL5pY0gA';
  const wrong: [string, Record<string, string>][] = [
    ['one that repeats itself', { JWT_SECRET: 'abc'.repeat(20) }],
    ['a previous one that is short', { JWT_SECRET: good, JWT_SECRET_PREVIOUS: 'short' }],
    ['a previous one that is the same', { JWT_SECRET: good, JWT_SECRET_PREVIOUS: good }],
    ['a previous one without a current one', { JWT_SECRET_PREVIOUS: good }],
    ['a short token for metrics', { METRICS_TOKEN: 'short' }],
  ];
  for (const [what, environment] of wrong) {
    it(`refuses ${what}, and does not repeat it`, () => {
      const problems = problemsOf(environment);
      expect(problems).to.have.length(1);
      for (const value of Object.values(environment)) expect(problems.join()).to.not.include(value);
    });
  }

  it('takes two that differ', () => {
    expect(problemsOf({ JWT_SECRET: good, JWT_SECRET_PREVIOUS: `${good}-older` })).to.deep.equal([]);
  });
});
