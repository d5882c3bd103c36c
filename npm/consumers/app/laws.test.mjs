// The laws on a target of one's own, with a runner that the package knows nothing of.
import test from "node:test";
import { laws, unmet } from "@alkdev/pubsub/conformance";

const fixture = {
  capabilities: {
    echo: true,
    order: "connection",
    carries: "reference",
    lifetime: "outlives",
    confirms: true,
  },
  peers() {
    const target = new EventTarget();
    return { publisher: target, subscribers: [target] };
  },
};

for (const law of laws) {
  const need = unmet(law, fixture);
  test(law.name, { skip: need !== undefined && `n/a: ${need}` }, () => law.run(fixture));
}
