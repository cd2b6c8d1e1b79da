"""litellm: a call, a streamed one, three on a loop with one of them streamed, and one that the program answers itself."""

import asyncio
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

from litellm import acompletion, completion

MODEL = {"model": "openai/gpt-4o-mini", "api_base": os.environ["OPENAI_BASE_URL"], "api_key": "unused"}
ASK = [{"role": "user", "content": "How cold is it in Oslo?"}]


async def main():
    told = await asyncio.gather(*(acompletion(messages=ASK, **MODEL) for _ in range(2)))
    print([each.choices[0].message.content for each in told])
    parts = await acompletion(messages=ASK, stream=True, stream_options={"include_usage": True}, **MODEL)
    print([part.choices[0].delta.content async for part in parts if part.choices])


print(completion(messages=ASK, **MODEL).choices[0].message.content)
parts = completion(messages=ASK, stream=True, stream_options={"include_usage": True}, **MODEL)
print([part.choices[0].delta.content for part in parts if part.choices])
asyncio.run(main())
print(completion(model="gpt-4o-mini", messages=ASK, mock_response="It is all made up.").choices[0].message.content)
