// The package has no ES module; its build for pages makes a global.
export default globalThis.protobuf;
