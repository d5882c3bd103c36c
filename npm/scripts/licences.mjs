// The licences stand once in the repository, at its root, and come along in the tarball.
import { copyFileSync, rmSync } from "node:fs";

for (const file of ["LICENSE-APACHE", "LICENSE-MIT"]) {
  const here = new URL(`../${file}`, import.meta.url);
  if (process.argv.includes("--remove")) rmSync(here, { force: true });
  else copyFileSync(new URL(`../../${file}`, import.meta.url), here);
}
