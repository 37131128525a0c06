// What a client needs from whoever starts it, and how it says that something is not as it should be.

/** Ends the client with exit code 1 unless `holds`. */
export function expect(holds: boolean, otherwise: string): asserts holds {
  if (!holds) {
    console.error(otherwise);
    process.exit(1);
  }
}

/** A variable of the environment that has to be there. */
export function setting(name: string): string {
  const value = process.env[name];
  expect(value !== undefined && value !== "", `${name} is not set`);
  return value;
}
