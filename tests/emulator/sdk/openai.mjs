// The published JavaScript client of OpenAI, as in its documentation. Prints what it received as JSON.

import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "emulated-chat";
const messages = [
  {
    role: "system",
    content: '<passages>\n<passage number="1" title="Visit">The museum opens at ten.</passage>\n</passages>',
  },
  { role: "user", content: "When does the museum open?" },
];
const tool = {
  type: "function",
  function: { name: "leave_note", parameters: { type: "object", properties: { text: { type: "string" } } } },
};

let streamed = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  streamed += chunk.choices[0]?.delta.content ?? "";
}
const whole = await client.chat.completions.create({ model, messages });
const asked = [{ role: "user", content: 'tool: leave_note {"text": "hello"}' }];
const called = await client.chat.completions.create({ model, messages: asked, tools: [tool] });
const embedded = await client.embeddings.create({ model: "emulated-embedding", input: ["a dog", "dogs"] });
const moderated = await client.moderations.create({ input: "I will kill you" });
const refused = await client.chat.completions.create({ model: "none", messages }).catch((error) => error);
const models = await client.models.list();

console.log(
  JSON.stringify({
    streamed,
    whole: whole.choices[0].message.content,
    called: called.choices[0].message.tool_calls[0].function,
    same: embedded.data[0].embedding.every((value, index) => value === embedded.data[1].embedding[index]),
    flagged: moderated.results[0].flagged,
    refused: refused instanceof OpenAI.NotFoundError && refused.code,
    models: models.data.length,
  }),
);
