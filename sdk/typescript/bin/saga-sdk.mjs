#!/usr/bin/env node
import { main } from "../tools/main.mjs";

process.exitCode = await main(process.argv.slice(2));
