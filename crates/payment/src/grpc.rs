//! Wire to domain and back. No rule is decided here.

pub mod repair;
pub mod settlement;
pub mod wire;

use stampede_proto::payment::v1 as pb;
use stampede_proto::payment::v1::payment_service_server::PaymentService;
use tonic::{Request, Response, Status};

use crate::authorize::Authorize;
use crate::payments::Payments;

pub struct Service {
    payments: Payments,
}

impl Service {
    pub const fn new(payments: Payments) -> Self {
        Self { payments }
    }
}

#[tonic::async_trait]
impl PaymentService for Service {
    async fn authorize_payment(
        &self,
        request: Request<pb::AuthorizePaymentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let command = Authorize::try_from(request.into_inner())?;
        let payment = self.payments.authorize(command).await?;
        Ok(Response::new(wire::payment(&payment)))
    }

    async fn capture_payment(
        &self,
        request: Request<pb::CapturePaymentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let request = request.into_inner();
        let (id, capture) =
            (wire::payment_id(&request.payment_id)?, wire::id("capture_id", &request.capture_id)?);
        let payment = self.payments.capture(id, capture, wire::amount(request.amount)?).await?;
        Ok(Response::new(wire::payment(&payment)))
    }

    async fn void_payment(
        &self,
        request: Request<pb::VoidPaymentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let id = wire::payment_id(&request.into_inner().payment_id)?;
        let payment = self.payments.void(id).await?;
        Ok(Response::new(wire::payment(&payment)))
    }

    async fn refund_payment(
        &self,
        request: Request<pb::RefundPaymentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let request = request.into_inner();
        let (id, refund) =
            (wire::payment_id(&request.payment_id)?, wire::id("refund_id", &request.refund_id)?);
        let payment = self.payments.refund(id, refund, wire::amount(request.amount)?).await?;
        Ok(Response::new(wire::payment(&payment)))
    }

    async fn get_payment(
        &self,
        request: Request<pb::GetPaymentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let id = wire::payment_id(&request.into_inner().payment_id)?;
        let payment = self.payments.get(id).await?;
        Ok(Response::new(wire::payment(&payment)))
    }

    async fn receive_webhook(
        &self,
        request: Request<pb::ReceiveWebhookRequest>,
    ) -> Result<Response<pb::ReceiveWebhookResponse>, Status> {
        let request = request.into_inner();
        self.payments.receive(&request.provider, &request.payload, &request.signature).await?;
        Ok(Response::new(pb::ReceiveWebhookResponse {}))
    }
}
