// A client generated from the contract calls the gateway over gRPC-web: an answer, a refusal with its details, a stream.
// It prints one line for each and exits with 1 at the first that is not as it should be.
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { CampaignService } from "../gen/stampede/inventory/v1/campaign_pb.js";
import { InventoryService } from "../gen/stampede/inventory/v1/inventory_pb.js";
import { OrderService } from "../gen/stampede/order/v1/order_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { expect, setting } from "./expect.js";

const sku = setting("SKU");
const token = setting("TOKEN");
const withToken: Interceptor = (next) => (request) => {
  request.header.set("Authorization", `Bearer ${token}`);
  return next(request);
};
const transport = createGrpcWebTransport({ baseUrl: setting("GATEWAY"), interceptors: [withToken] });

const stock = await createClient(InventoryService, transport).getStock({ skuId: sku });
expect(stock.levels.length > 0, "GetStock has no levels");
console.log(`unary: GetStock ${sku}: ${stock.levels.length} levels, ${stock.levels[0]?.free} free on the first`);

const campaigns = await createClient(CampaignService, transport).listCampaigns({ pageSize: 1 });
console.log(`unary: ListCampaigns: ${campaigns.campaigns[0]?.campaignId ?? "none"}`);

try {
  await createClient(OrderService, transport).getOrder({ orderId: "no-uuid" });
  expect(false, "GetOrder took an id that is no UUID");
} catch (cause) {
  const error = ConnectError.from(cause);
  expect(error.code === Code.InvalidArgument, `GetOrder was refused with ${Code[error.code]}: ${error.rawMessage}`);
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason;
  const field = error.findDetails(BadRequestSchema)[0]?.fieldViolations[0];
  expect(reason === "INVALID_ARGUMENT", `the reason is ${reason}`);
  expect(field?.field === "order_id", `the field is ${field?.field}`);
  console.log(`refused: GetOrder: ${Code[error.code]} ${reason}, ${field?.field} ${field?.description}`);
}

const stop = new AbortController();
let seen = 0;
try {
  const feed = createClient(InventoryService, transport).watchStock({ skuIds: [sku] }, { signal: stop.signal });
  for await (const message of feed) {
    expect(message.update.case === "snapshot", `the feed begins with ${message.update.case}`);
    console.log(`stream: WatchStock: ${message.update.case} at sequence ${message.sequence}, resume ${message.resumeToken !== ""}`);
    seen += 1;
    stop.abort();
  }
} catch (cause) {
  expect(ConnectError.from(cause).code === Code.Canceled, `the feed broke: ${cause}`);
}
expect(seen === 1, "the feed said nothing");
