/** A worker that only waits for its end. */
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
