import * as pubsub from "@alkdev/pubsub";
import * as conformance from "@alkdev/pubsub/conformance";
import { laws, program } from "./program.mjs";

for (const line of [...(await program(pubsub)), ...(await laws(conformance))]) console.log(line);
