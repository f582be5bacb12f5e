/** Answers the portal's check against automated guests: some work that a device does in a second or two. */

const encode = new TextEncoder();

/**
 * Find a number whose SHA-256 with the seed begins with so many zero bits.
 *
 * @param {{ kind: string, seed: string, bits: number }} challenge
 * @returns {Promise<{ kind: string, seed: string, number: number }>}
 */
export async function solve({ kind, seed, bits }) {
  for (let number = 0; ; number += 1) {
    const hash = await crypto.subtle.digest("SHA-256", encode.encode(`${seed}.${number}`));
    if (new DataView(hash).getUint32(0) >>> (32 - bits) === 0) return { kind, seed, number };
  }
}
