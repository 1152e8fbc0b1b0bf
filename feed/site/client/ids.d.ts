/**
 * Ids that nobody has used.
 * @module ids
 */
/**
 * A random UUID (version 4), also on pages served over plain HTTP, where
 * `crypto.randomUUID` is absent.
 * @returns {string}
 */
export function newEventId(): string;
