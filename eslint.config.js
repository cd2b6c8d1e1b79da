// The sources are one script in the order of their names, main.js last, so names of other files are defined: tsc checks them.
"use strict";

const FORBIDDEN = ["innerHTML", "outerHTML", "insertAdjacentHTML", "write", "srcdoc"];

module.exports = [
  {
    files: ["namel3ss_debug/views/page/*.js"],
    languageOptions: { ecmaVersion: 2022, sourceType: "script" },
    rules: {
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-unused-vars": ["error", { vars: "local", argsIgnorePattern: "^_", varsIgnorePattern: "^_", destructuredArrayIgnorePattern: "^_" }],
      "no-shadow": "error",
      "no-implicit-coercion": "error",
      "no-eval": "error",
      "no-new-func": "error",
      "no-implied-eval": "error",
      "no-unreachable": "error",
      "no-fallthrough": "error",
      "no-dupe-keys": "error",
      "no-self-assign": "error",
      "no-control-regex": "error",
      "no-misleading-character-class": "error",
      "no-useless-escape": "error",
      "no-cond-assign": "error",
      "no-loss-of-precision": "error",
      "no-console": "error",
      "no-restricted-globals": ["error", "fetch", "XMLHttpRequest", "WebSocket", "EventSource", "open"],
      // Text of a trace must never become markup.
      "no-restricted-properties": ["error", ...FORBIDDEN.map((property) => ({ property }))],
      "no-restricted-syntax": ["error", ...FORBIDDEN.map((name) => ({ selector: `AssignmentExpression > MemberExpression.left[property.name='${name}']`, message: `${name} would read text as markup` }))],
      
    },
  },
];
