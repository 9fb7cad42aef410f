#!/usr/bin/env node
// Stands apart from dist/, which is built later, so that npm can link it at install.
import '../dist/daemon.js';
