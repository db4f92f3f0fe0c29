/**
 * Checks answers against the schemas of CoinGecko's contract: those of CoinGecko's own OpenAPI document, whose path is in the
 * environment variable COINGECKO_OPENAPI, or small ones of ours.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import ajvFormats from 'ajv-formats';
import { projectRoot } from '../../embedded/project-root.ts';

interface ContractDocument {
  readonly paths: Readonly<Record<string, unknown>>;
}

/** Schemas of the good answers by path, such as `/coins/{id}`. */
export interface Contract {
  readonly paths: readonly string[];
  /** What is wrong with an answer, in words; empty when nothing is. @throws when the contract has no such path. */
  faultsOf(path: string, answer: unknown): readonly string[];
}

/** Our own small schemas of what the mirrored routes answer. */
export async function ownContract(): Promise<Contract> {
  return await readContract(join(projectRoot, 'test', 'fixtures', 'coingecko', 'contract.json'));
}

/** CoinGecko's own document; undefined where there is none. */
export async function officialContract(): Promise<Contract | undefined> {
  const path = process.env['COINGECKO_OPENAPI'];
  return path === undefined || path === '' ? undefined : await readContract(path);
}

async function readContract(path: string): Promise<Contract> {
  const document = JSON.parse(await readFile(path, 'utf8')) as ContractDocument;
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
  ajvFormats.default(ajv);
  ajv.addSchema(document, 'contract');
  const validators = new Map<string, ValidateFunction>();
  const validatorOf = (of: string): ValidateFunction => {
    if (!(of in document.paths)) throw new Error(`the contract has no path ${of}`);
    const pointer = `/paths/${of.replaceAll('~', '~0').replaceAll('/', '~1')}/get/responses/200/content/application~1json/schema`;
    const validator = validators.get(of) ?? ajv.compile({ $ref: `contract#${encodeURI(pointer)}` });
    validators.set(of, validator);
    return validator;
  };
  return {
    paths: Object.keys(document.paths),
    faultsOf(of, answer) {
      const validator = validatorOf(of);
      if (validator(answer)) return [];
      return (validator.errors ?? []).map(({ instancePath, message = '' }) => `${instancePath} ${message}`);
    },
  };
}
