// The package is written for Node; the page gives it the `module` that it fills.
export const { EventEmitter } = globalThis.module.exports;
