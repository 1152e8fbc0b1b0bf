# Writes the client's type declarations anew, from its JSDoc. Run it by `npm run types`.
set -eu
cd "$(dirname "$0")"
client=../../feed/site/client
rm -rf build && mkdir -p build/client
# A copy without declarations: where there are some, the compiler reads them instead of the code.
cp "$client"/*.js "$client"/api.d.ts "$client"/package.json build/client/
cp tsconfig.json build/
node node_modules/typescript/bin/tsc --project build
for name in attention feed-client ids problem; do
  cp "build/declarations/$name.d.ts" "$client/"
done
