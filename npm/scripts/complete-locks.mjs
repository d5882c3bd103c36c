// A lockfile has to name the packages of every platform, or `npm ci` refuses it. `npm install` leaves out those that
// its registry does not carry; this puts them back, with the version that is asked for and the platform that the
// name tells, so that everybody installs what the tests ran with. Run it after `npm install`.
import { readFileSync, writeFileSync } from "node:fs";

const systems = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const processors = {
  arm: "arm",
  arm64: "arm64",
  ia32: "ia32",
  loong64: "loong64",
  mips64el: "mips64el",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  x64: "x64",
};
const libraries = { gnu: "glibc", glibc: "glibc", gnueabihf: "glibc", musl: "musl", musleabihf: "musl" };

for (const folder of ["", "consumers/", "bench/"]) {
  const path = new URL(`../${folder}package-lock.json`, import.meta.url);
  const before = readFileSync(path, "utf8");
  const lock = JSON.parse(before);
  for (const [at, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const places = [`${at}/node_modules/${name}`, `node_modules/${name}`];
      if (places.some((place) => lock.packages[place]?.version === version)) continue;
      const words = name.split("/").at(-1).split("-");
      const os = words.filter((word) => systems.includes(word));
      const cpu = words.map((word) => processors[word]).filter(Boolean);
      // Not a package of a platform: npm knows what to do without it.
      if (os.length !== 1 || !/^\d/.test(version)) continue;
      const libc = os[0] === "linux" ? words.map((word) => libraries[word]).filter(Boolean) : [];
      const place = lock.packages[places[1]] === undefined ? places[1] : places[0];
      lock.packages[place] = {
        version,
        cpu,
        ...(dev ? { dev } : {}),
        ...(libc.length > 0 ? { libc } : {}),
        optional: true,
        os,
      };
      console.log(`${folder}package-lock.json: ${name} ${version} for ${os} ${cpu} ${libc}`);
    }
  }
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
  lock.packages = Object.fromEntries(sorted);
  const after = `${JSON.stringify(lock, null, 2)}\n`;
  if (after !== before) writeFileSync(path, after);
}
