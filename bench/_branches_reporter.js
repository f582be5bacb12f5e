/**
 * A reporter of Node's test runner: prints the branches of each script, and how many of them were taken, as JSON.
 * @param {AsyncIterable<{ type: string, data: any }>} events
 */
export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== "test:coverage") continue;
    for (const { path, totalBranchCount, coveredBranchCount } of data.summary.files)
      yield `${JSON.stringify({ path, branches: totalBranchCount, taken: coveredBranchCount })}\n`;
  }
}
