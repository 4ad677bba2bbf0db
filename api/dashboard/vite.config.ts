import { defineConfig } from 'vite'

export default defineConfig({
  base: '/',
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: { outDir: 'dist', emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: Object.fromEntries(['/v1', '/health', '/status', '/data', '/endpoints', '/alerts', '/system'].map((p) => [p, 'http://127.0.0.1:8080'])) },
})
