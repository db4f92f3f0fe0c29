/** Thread task that runs until a test lets it go: counts itself in `state[0]`, and waits while `state[1]` is 0. */
export default function longTask(state: Int32Array): number {
  Atomics.add(state, 0, 1);
  Atomics.wait(state, 1, 0);
  return Atomics.add(state, 2, 1) + 1;
}
