// SPDX-License-Identifier: MIT
//
// The rules of the layout, as functions of a file's path and text, so that each can be shown to
// fail. Each returns what is wrong, a line a finding, and nothing if all is well.

/** Who may include whom: only what has a lower number, and what is in the same folder. */
const layers: Record<string, number> = {
  'stack/util': 0,
  'stack/wire': 1,
  'stack/link': 2,
  'stack/ip': 2,
  'stack/tcp': 2,
  'stack/udp': 2,
  'stack/filter': 2,
  'stack/socket': 3,
  stack: 4,
  'stack/host': 5,
  'ts/binding': 6,
};

const nodeApiHeaders =
  /^(napi|node_api|node_api_types|js_native_api|js_native_api_types|uv)(-inl)?\.h$/;

/** Parts of the standard library that are a clock, a thread, randomness, or input and output. */
const outsideTheCore = new Set(
  `barrier chrono condition_variable csignal ctime filesystem fstream future iostream istream latch
   mutex ostream random semaphore shared_mutex stop_token syncstream thread`.split(/\s+/),
);

const callsOutsideTheCore =
  /(?<![\w.>])(?:std::)?(getenv|rand|srand|printf|fprintf|fopen|clock_gettime|gettimeofday)\s*\(/;

/** The layer's folder that a C or C++ file belongs to, or null if it is in none. */
function folderOf(file: string): string | null {
  const folder = /^(stack(?:\/[^/]+(?=\/))?|ts\/binding|vpoll)\//.exec(file)?.[1];
  return folder ?? null;
}

/**
 * Where an include leads, as a path of the repository; null if it leads out of it.
 * @param exists tells whether the repository has that file
 */
function resolveInclude(file: string, name: string, exists: (path: string) => boolean) {
  const here = file.slice(0, file.lastIndexOf('/') + 1);
  for (const base of [here, 'stack/', '', 'vpoll/']) {
    const path = new URL(`${base}${name}`, 'file:///').pathname.slice(1);
    if (exists(path)) return path;
  }
  return null;
}

/** design.md's "may include only what stands to its left", and what only some folders may know. */
export function checkIncludes(
  file: string,
  text: string,
  exists: (path: string) => boolean,
): string[] {
  const own = folderOf(file);
  if (own === null || !/\.(c|h|cpp|hpp)$/.test(file)) return [];
  const isCore = own.startsWith('stack') && own !== 'stack/host';
  const found: string[] = [];
  text.split('\n').forEach((line, index) => {
    const say = (what: string) => found.push(`${file}:${index + 1}: ${what}`);
    if (isCore) {
      const call = callsOutsideTheCore.exec(line.replace(/\/\/.*/, ''));
      if (call) say(`the core may not call ${call[1]}`);
    }
    const include = /^\s*#\s*include\s*([<"])([^>"]+)[>"]/.exec(line);
    if (include === null) return;
    const [, quote, name = ''] = include;
    if (nodeApiHeaders.test(name)) {
      if (own !== 'ts/binding') say(`only ts/binding may include ${name}`);
      return;
    }
    const target = resolveInclude(file, name, exists);
    if (target === null) {
      if (quote === '"') say(`${name} is not a file of this repository`);
      else if (isCore && /[./]/.test(name)) say(`only stack/host may include <${name}>`);
      else if (isCore && outsideTheCore.has(name)) say(`only stack/host may include <${name}>`);
      return;
    }
    if (target === 'kernel/uapi/vpoll.h') {
      if (own !== 'vpoll') say('only vpoll may include kernel/uapi/vpoll.h');
      return;
    }
    const other = folderOf(target);
    if (other === null) {
      say(`${target} is outside the layout`);
    } else if (other === 'vpoll') {
      if (own !== 'vpoll' && own !== 'stack/host') say(`only stack/host may include ${target}`);
    } else if (own === 'vpoll') {
      say(`vpoll may not include ${target}`);
    } else if (layers[other] === undefined || layers[own] === undefined) {
      say(`${layers[own] === undefined ? own : other} is not a folder of the layout`);
    } else if (other !== own && layers[other] >= layers[own]) {
      say(`${own} may not include ${target}`);
    }
  });
  return found;
}

/** What the package itself needs at run time: the codec of DNS messages. */
const packageImports = new Set(['dns-packet']);

/**
 * The package imports itself, Node and `packageImports`; examples import each other, and the package as a user would. The
 * command line imports these, itself, and what package.json depends on.
 * @param dependencies the packages' names
 */
export function checkImports(
  file: string,
  text: string,
  dependencies: readonly string[] = [],
): string[] {
  const isTs = /^ts\/.*\.ts$/.test(file);
  const isExample = /^examples\/.*\.ts$/.test(file);
  const isCli = /^cli\/.*\.ts$/.test(file);
  if (!isTs && !isExample && !isCli) return [];
  const found: string[] = [];
  for (const match of text.matchAll(
    /^\s*(?:import|export)\b[^;'"]*?from\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm,
  )) {
    const name = match[1] ?? match[2] ?? match[3] ?? '';
    if (name.startsWith('node:')) continue;
    if (isCli) {
      const path = new URL(name, `file:///${file}`).pathname;
      const isOurs = name.startsWith('.') && /^\/(cli|ts|examples)\/.+\.js$/.test(path);
      if (name !== 'vpollnet' && !isOurs && !dependencies.includes(name))
        found.push(`${file}: cli may not import '${name}'`);
      continue;
    }
    if (isExample) {
      const isExampleToo = /^\.\/[^/]+\.js$/.test(name);
      if (name !== 'vpollnet' && !isExampleToo)
        found.push(`${file}: examples may not import '${name}'`);
      continue;
    }
    const path = new URL(name, `file:///${file}`).pathname;
    if (packageImports.has(name)) continue;
    if (!name.startsWith('.')) found.push(`${file}: the package may not depend on '${name}'`);
    else if (!path.startsWith('/ts/')) found.push(`${file}: ts may not import '${name}'`);
  }
  return found;
}

/** The licence that a file's folder is under stands in its first line, or below the `#!`. */
export function checkLicence(file: string, text: string): string[] {
  let licence = 'MIT';
  if (file.startsWith('kernel/')) licence = 'GPL-2.0-only';
  if (file.startsWith('kernel/uapi/')) licence = 'GPL-2.0-only WITH Linux-syscall-note';
  const [first = '', second = ''] = text.split('\n');
  const line = first.startsWith('#!') ? second : first;
  const written = /^(?:\/\/|\/\*|#) SPDX-License-Identifier: (.*?)(?: \*\/)?$/.exec(line)?.[1];
  if (written === licence) return [];
  return [`${file}:1: expected 'SPDX-License-Identifier: ${licence}', found '${written ?? line}'`];
}

/** Files that have grown past what one reader holds. */
export function checkLength(file: string, text: string): string[] {
  const limit = file.startsWith('examples/') ? 120 : 800;
  if (!/^(stack|ts|vpoll|namespace|examples|cli|scripts)\//.test(file)) return [];
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  return lines > limit ? [`${file}: ${lines} lines, the limit is ${limit}`] : [];
}

/**
 * No two headers define a type of one name in one namespace: what the compiler makes of either is taken for
 * both when the program is linked (C++20 6.3, the one-definition rule), and no tool has to say so.
 */
export function checkTypes(headers: readonly { file: string; text: string }[]): string[] {
  const definedIn = new Map<string, string>();
  const found: string[] = [];
  for (const { file, text } of headers) {
    let namespace = '';
    for (const line of text.split('\n')) {
      namespace = /^namespace ([\w:]+) \{/.exec(line)?.[1] ?? namespace;
      const type = /^(?:class|struct|union|enum(?: class)?) (\w+)\b(?!::)[^;]*\{/.exec(line)?.[1];
      if (type === undefined) continue;
      const name = `${namespace}::${type}`;
      const other = definedIn.get(name);
      if (other !== undefined) found.push(`${file}: ${name} is defined in ${other} too`);
      definedIn.set(name, file);
    }
  }
  return found;
}

/** A note of work left over says what is left, and why. */
export function checkNotes(file: string, text: string): string[] {
  const found: string[] = [];
  text.split('\n').forEach((line, index) => {
    if (/\b(TODO|FIXME)\b(?!(\([^)]+\))?: \S.{15})/.test(line)) {
      found.push(`${file}:${index + 1}: a ${'TO'}${'DO'} without an explanation`);
    }
  });
  return found;
}

/** A lock file that names no registry works behind any. */
export function checkLock(text: string): string[] {
  return text.split('\n').flatMap((line, index) => {
    return /"resolved"\s*:/.test(line) ? [`package-lock.json:${index + 1}: ${line.trim()}`] : [];
  });
}
