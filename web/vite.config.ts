// How is the page built, and where does it get its data from while it is developed?
//
// `npm run dev` serves the page from its source and hands requests of the API to a manager that runs already:
// MANAGER=https://127.0.0.1:8443 unless the variable says otherwise.

import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  // The oldest browsers that know `light-dark()` by themselves, which is two and a half years.
  // `dist` has a file of its own in git; the build removes what it made before by itself.
  build: {
    emptyOutDir: false,
    target: ['chrome123', 'firefox121', 'safari17.5'],
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1200,
    // One script: all screens together are a quarter more than the first needs, and a second round of requests takes longer.
    rolldownOptions: { output: { codeSplitting: false } },
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/api': { target: process.env['MANAGER'] ?? 'https://127.0.0.1:8443', secure: false } },
  },
});
