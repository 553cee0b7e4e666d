import globals from "globals";
import tseslint from "typescript-eslint";

export default tseslint.config(tseslint.configs.recommended, {
  languageOptions: { globals: { ...globals.browser, ...globals.node } },
});
