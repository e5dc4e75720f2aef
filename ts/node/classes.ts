// SPDX-License-Identifier: MIT
//
// Classes and modules of Node's, taken on: subclasses that can be called as their bases can, methods in place of
// others, and module objects of which a part is ours.

// biome-ignore lint/complexity/noBannedTypes: any function that can be constructed
type Class = Function & { prototype: object };

export type Method = (this: object, ...args: unknown[]) => unknown;

/** Methods of a class of Node's as they are now, before anything is installed. */
export function methodsOf<Name extends string>(prototype: object, ...names: Name[]) {
  const all = prototype as Record<string, Method>;
  return Object.fromEntries(names.map((name) => [name, all[name]])) as Record<Name, Method>;
}

/** Puts `properties` on `prototype`, not enumerable, as methods of a class are. */
export function define(prototype: object, properties: object): void {
  for (const key of Reflect.ownKeys(properties)) {
    const one = Object.getOwnPropertyDescriptor(properties, key);
    Object.defineProperty(prototype, key, { ...one, enumerable: false });
  }
}

/** Makes `own` a subclass of a class of Node's, that can be called as its base can: without `new` too. */
export function inherit<Base>(own: unknown, base: Base): Base {
  const [derived, inherited] = [own, base] as unknown as [Class, Class];
  Object.setPrototypeOf(derived, inherited);
  Object.setPrototypeOf(derived.prototype, inherited.prototype);
  return own as Base;
}

/** The body of such a class. */
export function construct(own: unknown, base: unknown, self: unknown, args: unknown[]): unknown {
  if (!(self instanceof (own as never))) return Reflect.construct(own as never, args);
  (base as { apply(self: unknown, args: unknown[]): void }).apply(self, args);
  return undefined;
}

/** A module of Node's with `own` in place of what it has by these names. The rest is read and set in Node's. */
export function moduleOver<Module extends object>(base: Module, own: object): Module {
  const module = {} as Record<string, unknown>;
  for (const name of Object.keys(base) as (keyof Module & string)[]) {
    Object.defineProperty(module, name, {
      configurable: true,
      enumerable: true,
      get: () => base[name],
      set(value) {
        base[name] = value;
      },
    });
  }
  for (const [name, value] of Object.entries(own)) {
    Object.defineProperty(module, name, {
      configurable: true,
      enumerable: true,
      writable: true,
      value,
    });
  }
  return module as Module;
}
