// Adds a header to each response: `hello: world!`, or what the configuration says.

export * from "@solo-io/proxy-runtime/proxy";
import {
  RootContext, Context, registerRootContext, FilterHeadersStatusValues, stream_context
} from "@solo-io/proxy-runtime";
import { get_buffer_bytes, BufferTypeValues } from "@solo-io/proxy-runtime/runtime";

class AddHeaderRoot extends RootContext {
  name: string = "hello";
  value: string = "world!";

  // The SDK's own onConfigure tells the host to write a size to an address that is not meant for it, so this one
  // does not call it.
  onConfigure(size: u32): bool {
    const text = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size)).trim();
    const colon = text.indexOf(":");
    if (colon > 0) {
      this.name = text.substring(0, colon).trim();
      this.value = text.substring(colon + 1).trim();
    } else if (text.length > 0) {
      this.value = text;
    }
    return true;
  }

  createContext(context_id: u32): Context {
    return new AddHeader(context_id, this);
  }
}

class AddHeader extends Context {
  constructor(context_id: u32, root_context: AddHeaderRoot) {
    super(context_id, root_context);
  }

  onResponseHeaders(count: u32, end_of_stream: bool): FilterHeadersStatusValues {
    const root = this.root_context as AddHeaderRoot;
    stream_context.headers.response.add(root.name, root.value);
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => new AddHeaderRoot(context_id), "add_header");
