"""Samples which deployments LiteLLM's own Router picks.

Reads {"draws": N, "cases": {name: model_list}} from standard input and writes
{name: {deployment id: count}} to standard output. The called group is "g".
"""

import asyncio
import contextlib
import json
import random
import sys


async def sample(router, draws):
    counts = {}
    for _ in range(draws):
        picked = await router.async_get_available_deployment(
            model="g", request_kwargs={}, messages=[{"role": "user", "content": "x"}]
        )
        name = picked["model_info"]["id"]
        counts[name] = counts.get(name, 0) + 1
    return counts


async def main():
    asked = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        from litellm import Router

        random.seed(20260102)
        counts = {}
        for name, model_list in asked["cases"].items():
            router = Router(model_list=model_list, routing_strategy="simple-shuffle")
            counts[name] = await sample(router, asked["draws"])
    json.dump(counts, sys.stdout)


asyncio.run(main())
