// The openai package, unmodified, against a gateway. NESTOR_URL ends in /v1; NESTOR_KEY is the master key.
// What the provider does is chosen by `user`, see the mock's plans.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";

// An import ignores NODE_PATH; require does not.
const openai = createRequire(import.meta.url)("openai");
const { OpenAI, AzureOpenAI } = openai;

const baseURL = process.env.NESTOR_URL;
const apiKey = process.env.NESTOR_KEY;
const answer = "Nestor carries every word of this answer Nestor ";
const messages = [{ role: "user", content: "hello" }];

const client = (options = {}) => new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000, ...options });
const chat = (fields = {}, options = {}) => client(options).chat.completions.create({ model: "gpt", messages, ...fields });

test("chat", async () => {
  const got = await chat();
  assert.equal(got.choices[0].message.content, answer);
  assert.equal(got.usage.completion_tokens, 8);
});

test("chat through a composed group and an alias", async () => {
  for (const model of ["composed", "nickname"]) {
    const { data, response } = await client().chat.completions.create({ model, messages }).withResponse();
    assert.equal(response.headers.get("x-litellm-model-id"), "first");
    assert.equal(data.choices[0].message.content, answer);
  }
});

test("the Azure client", async () => {
  const azure = new AzureOpenAI({ endpoint: baseURL.replace(/\/v1$/, ""), apiKey, apiVersion: "2024-06-01", maxRetries: 0 });
  const got = await azure.chat.completions.create({ model: "gpt", messages });
  assert.equal(got.choices[0].message.content, answer);
});

const told = async (stream) => {
  let text = "";
  let chunks = 0;
  for await (const chunk of stream) {
    chunks++;
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  return { text, chunks };
};

test("a stream, without the usage that nobody asked for", async () => {
  assert.deepEqual(await told(await chat({ stream: true })), { text: answer, chunks: 9 });
});

test("a stream with usage", async () => {
  const stream = await chat({ stream: true, stream_options: { include_usage: true } });
  assert.deepEqual(await told(stream), { text: answer, chunks: 10 });
});

test("a stream that breaks off is an error", async () => {
  await assert.rejects(async () => told(await chat({ stream: true, user: "mock:cut=400" })));
});

test("five hundred streams at once", async () => {
  const c = client({ timeout: 60_000 });
  const one = async () =>
    (await told(await c.chat.completions.create({ model: "gpt", messages, stream: true, user: "mock:first=3s;events=8" }))).text;
  const all = await Promise.all(Array.from({ length: 500 }, one));
  assert.deepEqual(all, Array(500).fill(answer));
});

test("embeddings in either encoding", async () => {
  const ask = (fields = {}) => client().embeddings.create({ model: "gpt", input: ["a", "b"], dimensions: 8, ...fields });
  const [coded, plain] = [await ask(), await ask({ encoding_format: "float" })];
  assert.equal(coded.data.length, 2);
  coded.data[1].embedding.forEach((x, i) => assert.ok(Math.abs(x - plain.data[1].embedding[i]) < 1e-6));
  assert.ok(Math.abs(plain.data[0].embedding[0] - 0.0841471) < 1e-6);
});

test("models", async () => {
  const ids = [];
  for await (const model of client().models.list()) ids.push(model.id);
  assert.deepEqual(ids, ["gpt", "composed", "single", "patient", "busy", "limited", "nickname"]);
  assert.equal((await client().models.retrieve("nickname")).id, "nickname");
});

test("classes of errors", async () => {
  const classes = {
    400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError, 404: openai.NotFoundError,
    409: openai.ConflictError, 422: openai.UnprocessableEntityError, 429: openai.RateLimitError, 500: openai.InternalServerError,
  };
  for (const [status, kind] of Object.entries(classes)) {
    await assert.rejects(chat({ model: "single", user: `mock:status=${status}` }), (error) => {
      assert.equal(error.constructor, kind);
      assert.equal(error.status, Number(status));
      assert.match(error.message, new RegExp(`mock: ${status}`));
      return true;
    });
  }
  await assert.rejects(chat({}, { apiKey: "wrong" }), openai.AuthenticationError);
  await assert.rejects(chat({ model: "nobody" }), (error) => error instanceof openai.BadRequestError && /nobody/.test(error.message));
  await assert.rejects(chat({ model: "single", user: "mock:status=502;body=html" }), openai.InternalServerError);
});

test("the client's timeout", async () => {
  const began = Date.now();
  await assert.rejects(chat({ user: "mock:delay=20s" }, { timeout: 500 }), openai.APIConnectionTimeoutError);
  assert.ok(Date.now() - began < 5_000);
});

test("retries by the gateway, and by the client", async () => {
  const ask = (model, user, maxRetries) => client({ maxRetries }).chat.completions.create({ model, messages, user }).withResponse();
  const gateway = await ask("patient", "mock:status=500;times=1;id=node-gateway", 0);
  assert.equal(gateway.response.headers.get("x-litellm-attempted-retries"), "1");
  const own = await ask("single", "mock:status=503;times=1;id=node-client", 2);
  assert.equal(own.response.headers.get("x-litellm-attempted-retries"), "0");
  assert.equal(own.data.choices[0].message.content, answer);
});

test("what is left of a limit, and that nothing is", async () => {
  const ask = () => client().chat.completions.create({ model: "limited", messages }).withResponse();
  for (const left of ["1", "0"]) {
    const { response } = await ask();
    assert.equal(response.headers.get("x-ratelimit-limit-requests"), "2");
    assert.equal(response.headers.get("x-ratelimit-remaining-requests"), left);
  }
  await assert.rejects(ask(), (error) => {
    assert.equal(error.constructor, openai.RateLimitError);
    assert.equal(error.code, "rate_limit_exceeded");
    assert.ok(Number(error.headers.get("retry-after")) > 50);
    return true;
  });
});

test("a body of twenty megabytes", async () => {
  const got = await chat({ messages: [{ role: "user", content: "x".repeat(20 << 20) }] });
  assert.ok(got.usage.prompt_tokens > (20 << 20) / 4);
});
