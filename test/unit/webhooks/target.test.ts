import { expect } from 'chai';
import { ValidationError } from '../../../src/domain/errors.ts';
import { createAddressGuard } from '../../../src/features/webhooks/address-guard.ts';
import { createTargets } from '../../../src/features/webhooks/target.ts';

const guard = createAddressGuard([]);
const strict = createTargets({ isHttpAllowed: false, guard });
const loose = createTargets({ isHttpAllowed: true, guard });

const refused: readonly (readonly [string, string])[] = [
  ['', 'absolute URL'],
  ['/hook', 'absolute URL'],
  ['hooks.example.com/x', 'absolute URL'],
  ['https://exa mple.com/', 'absolute URL'],
  ['https://example.com/a\nb', 'absolute URL'],
  [' https://example.com/', 'absolute URL'],
  ['http://example.com/', 'start with https://'],
  ['ftp://example.com/', 'start with https://'],
  ['file:///etc/passwd', 'start with https://'],
  ['javascript:alert(1)', 'start with https://'],
  ['https://user@example.com/', 'user or a password'],
  ['https://:secret@example.com/', 'user or a password'],
  ['https://example.com/#part', 'fragment'],
  ['https://example.com/#', 'fragment'],
  ['https://example.com:22/', 'port'],
  ['https://example.com:25/', 'port'],
  ['https://example.com:1023/', 'port'],
  ['https://localhost/', 'public'],
  ['https://LOCALHOST./', 'public'],
  ['https://a.localhost/', 'public'],
  ['https://localhost../', 'empty parts'],
  ['https://a..b/', 'empty parts'],
  ['https://.../', 'empty parts'],
  ['https://127.0.0.1/', 'public'],
  ['https://127.1/', 'public'],
  ['https://2130706433/', 'public'],
  ['https://0x7f000001/', 'public'],
  ['https://0177.0.0.1/', 'public'],
  ['https://127.0.0.1./', 'public'],
  ['https://１２７.0.0.1/', 'public'],
  ['https://[::1]/', 'public'],
  ['https://[::ffff:127.0.0.1]/', 'public'],
  ['https://169.254.169.254/latest/meta-data/', 'public'],
  [`https://example.com/${'a'.repeat(2_048)}`, '2048'],
  [`https://example.com/${'ü'.repeat(1_000)}`, '2048'],
];

describe('the URL of a receiver', () => {
  for (const [url, rule] of refused) {
    it(`is not taken: ${url.slice(0, 60) || 'nothing'}`, () => {
      expect(strict.problemOf(url)).to.include(rule);
    });
  }

  it('is taken with a path, a query and an unprivileged port', () => {
    const urls = [
      'https://hooks.example.com/in?token=a%20b',
      'https://example.com:8443/',
      'https://example.com:80/',
      'https://1.1.1.1/hook',
      'https://[2606:4700:4700::1111]/',
      'https://bücher.example/',
    ];
    expect(urls.flatMap((url) => strict.problemOf(url) ?? [])).to.deep.equal([]);
  });

  it('may be http:// where the operator allows it', () => {
    expect(loose.problemOf('http://example.com/')).to.equal(undefined);
    expect(loose.problemOf('http://127.0.0.1/')).to.include('public');
    expect(loose.problemOf('ws://example.com/')).to.include('http://');
  });

  it('is kept as a parser reads it, and its field is named when it is refused', () => {
    expect(strict.checked('https://Example.com\\a', 'callback_url')).to.equal('https://example.com/a');
    expect(() => strict.checked('https://localhost/', 'callback_url'))
      .to.throw(ValidationError)
      .with.property('fields')
      .that.deep.includes({
        field: 'callback_url',
        message: 'must be a public address, or one that the operator allows',
      });
  });
});
