import { retentions, type RetentionName } from '../../jobs/registry.ts';
import { messageOf } from '../../src/domain/errors.ts';
import type { Processor, Retentions } from './processor.ts';

/**
 * Builds the processors of all retentions. Each deletes batch by batch until a batch finds nothing; what fails does not keep
 * the others of its job from being deleted. Batches of all of them take turns, so that they use one connection of a process at
 * a time, and one that has much to do holds up none.
 * @throws {Error} when a retention has nothing to delete, or is given twice.
 */
export function createRetentions(given: readonly (Retentions | undefined)[]): {
  readonly [N in RetentionName]: Processor<N>;
} {
  let last: Promise<unknown> = Promise.resolve();
  const inOrder = (batch: () => Promise<number>): Promise<number> => {
    const turn = last.then(batch);
    last = turn.catch(() => undefined);
    return turn;
  };
  const processorOf = (name: RetentionName): Processor<RetentionName> => {
    const [batches, ...others] = given.map((each) => each?.[name]).filter((each) => each !== undefined);
    if (batches === undefined || others.length > 0)
      throw new Error(`${name} has ${batches === undefined ? 0 : others.length + 1} retentions`);
    return async (_data, { waitSignal }) => {
      let deleted = 0;
      const failures: string[] = [];
      for (const [what, batch] of Object.entries(batches)) {
        try {
          let rows = 1;
          while (rows > 0 && !waitSignal.aborted) deleted += rows = await inOrder(batch);
        } catch (error) {
          failures.push(`${what}: ${messageOf(error)}`);
        }
      }
      if (failures.length > 0) throw new Error(`cleanup is incomplete: ${failures.join('; ')}`);
      return { deleted };
    };
  };
  const names = Object.keys(retentions) as RetentionName[];
  return Object.fromEntries(names.map((name) => [name, processorOf(name)])) as unknown as ReturnType<
    typeof createRetentions
  >;
}
