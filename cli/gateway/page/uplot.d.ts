// SPDX-License-Identifier: MIT
//
// uplot.js is served from the package uplot.

export { default } from 'uplot';
