// SPDX-License-Identifier: MIT
//
// Checks a request by the schema that the OpenAPI document shows, so that the two cannot differ. It knows the
// part of JSON Schema that the document uses, and says which value is wrong and what it must be.

import { isIP } from 'node:net';
import { Problem } from './problem.js';

export interface Schema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  description?: string;
  enum?: readonly string[];
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  oneOf?: readonly Schema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  format?: string;
  default?: unknown;
  $ref?: string;
}

export type Schemas = Readonly<Record<string, Schema>>;

const kindOf = (value: unknown): string => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'number' && Number.isInteger(value) ? 'integer' : typeof value;
};

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

const articles: Record<string, string> = {
  object: 'an object',
  array: 'an array',
  integer: 'a whole number',
};
const named = (type: string) => articles[type] ?? `a ${type}`;

/** Resolves "#/components/schemas/NAME". */
function resolve(schema: Schema, schemas: Schemas): Schema {
  const name = schema.$ref?.slice('#/components/schemas/'.length);
  return name === undefined ? schema : resolve(schemas[name] as Schema, schemas);
}

/**
 * @param name of the value in the request, such as 'body.listen.port'
 * @throws {Problem} 400
 */
export function check(value: unknown, given: Schema, schemas: Schemas, name: string): void {
  const schema = resolve(given, schemas);
  const wrong = (must: string) => new Problem(400, `${name} must be ${must}, not ${shown(value)}`);
  if (schema.oneOf !== undefined) {
    checkOneOf(value, schema.oneOf, schemas, name);
    return;
  }
  const kind = kindOf(value);
  if (schema.type !== undefined && kind !== schema.type) {
    if (!(schema.type === 'number' && kind === 'integer')) throw wrong(named(schema.type));
  }
  if (schema.enum !== undefined && !schema.enum.includes(value as string)) {
    throw wrong(`one of ${schema.enum.join(', ')}`);
  }
  if (typeof value === 'number') checkNumber(value, schema, wrong);
  if (typeof value === 'string') checkString(value, schema, wrong);
  if (Array.isArray(value)) {
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items } = schema;
    if (value.length < minItems || value.length > maxItems) {
      throw new Problem(
        400,
        `${name} must have ${minItems} to ${maxItems} elements, not ${value.length}`,
      );
    }
    if (items !== undefined) {
      for (const [i, one] of value.entries()) check(one, items, schemas, `${name}[${i}]`);
    }
  }
  if (kind === 'object') checkObject(value as Record<string, unknown>, schema, schemas, name);
}

function checkNumber(value: number, schema: Schema, wrong: (must: string) => Problem): void {
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema;
  if (value < minimum || value > maximum) throw wrong(`from ${minimum} to ${maximum}`);
}

function checkString(value: string, schema: Schema, wrong: (must: string) => Problem): void {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern, format } = schema;
  if (value.length < minLength || value.length > maxLength) {
    throw wrong(`${minLength} to ${maxLength} characters`);
  }
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(value)) {
    throw wrong(schema.description ?? `of the form ${pattern}`);
  }
  if (format === 'ip' && isIP(value) === 0) throw wrong('an IPv4 or IPv6 address');
}

function checkObject(
  value: Record<string, unknown>,
  schema: Schema,
  schemas: Schemas,
  name: string,
): void {
  const properties = schema.properties ?? {};
  for (const key of schema.required ?? []) {
    if (!Object.hasOwn(value, key)) throw new Problem(400, `${name}.${key} is missing`);
  }
  for (const [key, one] of Object.entries(value)) {
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (property !== undefined) check(one, property, schemas, `${name}.${key}`);
    else if (schema.additionalProperties === false) {
      const there = Object.keys(properties).join(', ');
      throw new Problem(400, `${name} has no property ${shown(key)}; there are ${there}`);
    }
  }
}

/** The message of the alternative that fits best: of objects, the one whose required properties are there. */
function checkOneOf(
  value: unknown,
  alternatives: readonly Schema[],
  schemas: Schemas,
  name: string,
): void {
  const isFor = (schema: Schema): boolean => {
    const { type, required = [] } = resolve(schema, schemas);
    if (kindOf(value) !== type) return false;
    return type !== 'object' || required.every((key) => Object.hasOwn(value as object, key));
  };
  const fitting = alternatives.find(isFor);
  if (fitting !== undefined) {
    check(value, fitting, schemas, name);
    return;
  }
  const forms = alternatives.map((one) => {
    const { type = '', required = [] } = resolve(one, schemas);
    return required.length > 0 ? `${named(type)} with ${required.join(' and ')}` : named(type);
  });
  throw new Problem(400, `${name} must be ${forms.join(' or ')}, not ${shown(value)}`);
}
