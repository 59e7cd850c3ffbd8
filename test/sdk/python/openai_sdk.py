"""The openai package, unmodified, against a gateway. NESTOR_URL ends in /v1; NESTOR_KEY is the master key.

What the provider does is chosen by `user`, see the mock's plans.
"""

import asyncio
import os
import time
import unittest

import openai

URL = os.environ["NESTOR_URL"]
KEY = os.environ["NESTOR_KEY"]
ANSWER = "Nestor carries every word of this answer Nestor "
HELLO = [{"role": "user", "content": "hello"}]


def client(**options):
    options = {"base_url": URL, "api_key": KEY, "max_retries": 0, "timeout": 30} | options
    return openai.OpenAI(**options)


class Answers(unittest.TestCase):
    def test_chat(self):
        got = client().chat.completions.create(model="gpt", messages=HELLO)
        self.assertEqual(got.choices[0].message.content, ANSWER)
        self.assertEqual(got.choices[0].finish_reason, "stop")
        self.assertEqual(got.usage.completion_tokens, 8)
        self.assertEqual(got.usage.total_tokens, got.usage.prompt_tokens + 8)

    def test_chat_through_composed_group_and_alias(self):
        for model in ("composed", "nickname"):
            got = client().chat.completions.with_raw_response.create(model=model, messages=HELLO)
            self.assertEqual(got.headers["x-litellm-model-id"], "first")
            self.assertEqual(got.parse().choices[0].message.content, ANSWER)

    def test_legacy_completions(self):
        got = client().completions.create(model="gpt", prompt="hello")
        self.assertEqual(got.choices[0].text, ANSWER)

    def test_azure_client(self):
        azure = openai.AzureOpenAI(
            azure_endpoint=URL.removesuffix("/v1"), api_key=KEY, api_version="2024-06-01", max_retries=0
        )
        got = azure.chat.completions.create(model="gpt", messages=HELLO)
        self.assertEqual(got.choices[0].message.content, ANSWER)

    def test_models(self):
        listed = [m.id for m in client().models.list()]
        self.assertEqual(listed, ["gpt", "composed", "single", "patient", "busy", "limited", "nickname"])
        self.assertEqual(client().models.retrieve("nickname").id, "nickname")
        with self.assertRaises(openai.NotFoundError):
            client().models.retrieve("nobody")


class Streams(unittest.TestCase):
    def test_stream(self):
        chunks = list(client().chat.completions.create(model="gpt", messages=HELLO, stream=True))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), ANSWER)
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        self.assertEqual([c.usage for c in chunks], [None] * 9)

    def test_stream_with_usage(self):
        chunks = list(
            client().chat.completions.create(
                model="gpt", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
        )
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, 8)

    def test_stream_arrives_as_it_is_sent(self):
        stream = client().chat.completions.create(model="gpt", messages=HELLO, stream=True, user="mock:gap=400ms;events=4")
        began = time.monotonic()
        next(iter(stream))
        first = time.monotonic() - began
        rest = len(list(stream))
        self.assertEqual(rest, 4)
        self.assertGreater(time.monotonic() - began, 1.0)
        self.assertLess(first, 1.0)

    def test_stream_that_breaks_off_is_an_error(self):
        stream = client().chat.completions.create(model="gpt", messages=HELLO, stream=True, user="mock:cut=400")
        with self.assertRaises(Exception) as caught:
            list(stream)
        self.assertIn(type(caught.exception).__name__, ("RemoteProtocolError", "APIConnectionError", "ReadError"))

    def test_five_hundred_streams_at_once(self):
        async def one(c):
            stream = await c.chat.completions.create(
                model="gpt", messages=HELLO, stream=True, user="mock:first=3s;events=8"
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        async def all_of_them():
            async with openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=60) as c:
                return await asyncio.gather(*(one(c) for _ in range(500)))

        self.assertEqual(asyncio.run(all_of_them()), [ANSWER] * 500)


class Embeddings(unittest.TestCase):
    def test_embeddings_in_either_encoding(self):
        default = client().embeddings.create(model="gpt", input=["a", "b"], dimensions=8)
        plain = client().embeddings.create(model="gpt", input=["a", "b"], dimensions=8, encoding_format="float")
        self.assertEqual(len(default.data), 2)
        for got, want in zip(default.data[1].embedding, plain.data[1].embedding, strict=True):
            self.assertAlmostEqual(got, want, places=6)
        self.assertAlmostEqual(plain.data[0].embedding[0], 0.0841471, places=6)
        self.assertEqual(plain.usage.prompt_tokens, 3)


class Errors(unittest.TestCase):
    def refused(self, kind, status, **request):
        request = {"model": "single", "messages": HELLO} | request
        options = request.pop("client", {})
        with self.assertRaises(kind) as caught:
            client(**options).chat.completions.create(**request)
        self.assertEqual(caught.exception.status_code, status)
        self.assertIs(type(caught.exception), kind)
        self.assertIsInstance(caught.exception.body, dict)
        self.assertTrue(caught.exception.body["message"])
        return caught.exception

    def test_classes_of_the_providers_errors(self):
        for status, kind in {
            400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError,
            404: openai.NotFoundError, 409: openai.ConflictError, 422: openai.UnprocessableEntityError,
            429: openai.RateLimitError, 500: openai.InternalServerError, 503: openai.InternalServerError,
        }.items():
            with self.subTest(status=status):
                error = self.refused(kind, status, user=f"mock:status={status}")
                self.assertIn(f"mock: {status}", error.body["message"])

    def test_errors_that_the_provider_did_not_shape(self):
        for body in ("html", "text", "empty"):
            with self.subTest(body=body):
                self.refused(openai.InternalServerError, 502, user=f"mock:status=502;body={body}")

    def test_nestors_own_errors(self):
        self.refused(openai.AuthenticationError, 401, client={"api_key": "wrong"})
        unknown = self.refused(openai.BadRequestError, 400, model="nobody")
        self.assertIn("nobody", unknown.body["message"])

    def test_context_window(self):
        error = self.refused(openai.BadRequestError, 400, user="mock:body=context")
        self.assertEqual(error.code, "context_length_exceeded")

    def test_retry_after_reaches_the_client(self):
        error = self.refused(openai.RateLimitError, 429, model="busy", user="mock:status=429;retry-after=7")
        self.assertEqual(error.response.headers["retry-after"], "7")


class TimeAndRetries(unittest.TestCase):
    def test_the_clients_timeout(self):
        began = time.monotonic()
        with self.assertRaises(openai.APITimeoutError):
            client(timeout=0.5).chat.completions.create(model="gpt", messages=HELLO, user="mock:delay=20s")
        self.assertLess(time.monotonic() - began, 5)

    def test_the_gateways_timeout(self):
        with self.assertRaises(openai.APIStatusError) as caught:
            client().chat.completions.create(model="patient", messages=HELLO, user="mock:delay=20s")
        self.assertIn(caught.exception.status_code, (408, 504))

    def test_the_gateway_retries_so_the_client_need_not(self):
        got = client().chat.completions.with_raw_response.create(
            model="patient", messages=HELLO, user="mock:status=500;times=1;id=python-gateway"
        )
        self.assertEqual(got.headers["x-litellm-attempted-retries"], "1")
        self.assertEqual(got.retries_taken, 0)

    def test_the_client_retries_what_the_gateway_passes_on(self):
        got = client(max_retries=2).chat.completions.with_raw_response.create(
            model="single", messages=HELLO, user="mock:status=503;times=1;id=python-client"
        )
        self.assertEqual(got.retries_taken, 1)
        self.assertEqual(got.headers["x-litellm-attempted-retries"], "0")


class Limits(unittest.TestCase):
    def test_what_is_left_and_that_nothing_is(self):
        create = client().chat.completions.with_raw_response.create
        for left in ("1", "0"):
            headers = create(model="limited", messages=HELLO).headers
            self.assertEqual(headers["x-ratelimit-limit-requests"], "2")
            self.assertEqual(headers["x-ratelimit-remaining-requests"], left)
            self.assertRegex(headers["x-ratelimit-reset-requests"], r"^(1m0s|5\ds)$")
            self.assertEqual(headers["x-ratelimit-limit-tokens"], "100000")
            self.assertLess(int(headers["x-ratelimit-remaining-tokens"]), 100000)
        with self.assertRaises(openai.RateLimitError) as caught:
            create(model="limited", messages=HELLO)
        error = caught.exception
        self.assertEqual(error.code, "rate_limit_exceeded")
        self.assertEqual(error.type, "requests")
        self.assertIn("No deployments available for selected model", error.message)
        self.assertIn(int(error.response.headers["retry-after"]), range(50, 61))
        self.assertEqual(error.response.headers["x-ratelimit-remaining-requests"], "0")


class Large(unittest.TestCase):
    def test_a_body_of_twenty_megabytes(self):
        got = client().chat.completions.create(
            model="gpt", messages=[{"role": "user", "content": "x" * (20 << 20)}]
        )
        self.assertGreater(got.usage.prompt_tokens, (20 << 20) // 4)
        self.assertEqual(got.choices[0].message.content, ANSWER)


if __name__ == "__main__":
    unittest.main()
