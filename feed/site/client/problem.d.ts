/**
 * The problem that a response tells of.
 * @param {Response} response
 * @param {string} text  its body
 * @returns {FeedProblem}
 */
export function readProblem(response: Response, text: string): FeedProblem;
/**
 * Answers that were not a success.
 * @module problem
 */
/**
 * @typedef {object} ProblemParts
 * @property {number} status  HTTP status; 0 if there was no answer at all
 * @property {string} title
 * @property {string} [detail]
 * @property {{field: string, rule: string}[]} [errors]
 * @property {number|null} [retryAfterS]  seconds the service asked to wait
 * @property {unknown} [cause]
 */
/** An answer that was not a success, as the service's problem document tells it. */
export class FeedProblem extends Error {
    /** @param {ProblemParts} parts */
    constructor({ status, title, detail, errors, retryAfterS, cause }: ProblemParts);
    /** HTTP status; 0 if there was no answer at all. */
    status: number;
    title: string;
    detail: string;
    /** The fields that broke a rule, with the rule. */
    errors: {
        field: string;
        rule: string;
    }[];
    /** Seconds the service asked to wait, null if it did not ask. */
    retryAfterS: number | null;
    /** True if the service was not reached. */
    get offline(): boolean;
    /** True if the same request may succeed later. */
    get temporary(): boolean;
}
export type ProblemParts = {
    /**
     * HTTP status; 0 if there was no answer at all
     */
    status: number;
    title: string;
    detail?: string | undefined;
    errors?: {
        field: string;
        rule: string;
    }[] | undefined;
    /**
     * seconds the service asked to wait
     */
    retryAfterS?: number | null | undefined;
    cause?: unknown;
};
