// A proxy-wasm filter in AssemblyScript, by the SDK that npm has. ../README.md says what it does.

export * from "@solo-io/proxy-runtime/proxy";
import {
  RootContext, Context, registerRootContext, stream_context, log, LogLevelValues,
  FilterHeadersStatusValues, FilterDataStatusValues
} from "@solo-io/proxy-runtime";
import { get_buffer_bytes, BufferTypeValues } from "@solo-io/proxy-runtime/runtime";

const LANGUAGE = "assemblyscript";

// The SDK has no wrapper of this one.
// @ts-ignore: decorator
@external("env", "proxy_set_buffer_bytes")
declare function proxy_set_buffer_bytes(type: i32, start: u32, length: u32, data: usize, size: usize): u32;

class Root extends RootContext {
  greeting: string = "";

  createContext(context_id: u32): Context {
    return new Stream(context_id, this);
  }

  onStart(size: usize): bool {
    const text = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.VmConfiguration, 0, size as u32));
    log(LogLevelValues.info, LANGUAGE + ": started with `" + text + "`");
    return true;
  }

  // The SDK's own passes the size as the address where the host should write the size.
  onConfigure(size: u32): bool {
    const text = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    log(LogLevelValues.info, LANGUAGE + ": configured with `" + text + "`");
    this.greeting = text.length == 0 ? "world!" : text;
    return text != "refuse";
  }
}

class Stream extends Context {
  is_text: bool = false;

  constructor(context_id: u32, root: Root) {
    super(context_id, root);
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const headers = stream_context.headers.request;
    headers.add("x-added", LANGUAGE);
    headers.replace("x-replaced", LANGUAGE);
    headers.remove("x-removed");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const headers = stream_context.headers.response;
    const root = this.root_context as Root;
    headers.add("hello", root.greeting);
    headers.replace("x-wasm-processed", LANGUAGE);
    this.is_text = headers.get("content-type").startsWith("text/plain");
    if (this.is_text) {
      headers.remove("content-length");
    }
    return FilterHeadersStatusValues.Continue;
  }

  onResponseBody(size: usize, end: bool): FilterDataStatusValues {
    if (!this.is_text) {
      return FilterDataStatusValues.Continue;
    }
    if (!end) {
      return FilterDataStatusValues.StopIterationAndBuffer;
    }
    const body = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, size as u32));
    const suffix = Uint8Array.wrap(String.UTF8.encode(" by " + LANGUAGE));
    const whole = new Uint8Array(body.length + suffix.length);
    for (let i = 0; i < body.length; i++) {
      const letter = body[i];
      whole[i] = letter >= 0x61 && letter <= 0x7a ? letter - 0x20 : letter;
    }
    for (let i = 0; i < suffix.length; i++) {
      whole[body.length + i] = suffix[i];
    }
    const from = changetype<usize>(whole.buffer);
    proxy_set_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, size as u32, from, whole.length);
    return FilterDataStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => new Root(context_id), "polyglot");
